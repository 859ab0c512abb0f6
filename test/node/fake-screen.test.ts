import { afterEach, describe, expect, it, vi } from "vitest";
import { Damage, intersect, type Rect } from "../../agent/drivers/fake/damage.ts";
import { clockFrom, goOn, halt } from "../../agent/drivers/fake/guest-clock.ts";
import { BOOT_MS, Screen } from "../../agent/drivers/fake/screen.ts";
import { CARET, NAMED, Terminal } from "../../agent/drivers/fake/terminal.ts";

const FACTS = {
  name: "web-1",
  uuid: "3f2b8c1e-9d47-4a65-b0e2-7c51d8f9a023",
  size: "1 vCPU",
  host: "fake-1",
  power: "RUNNING",
};
const UPTIME = { x: 140, y: 190, width: 168, height: 22 };

afterEach(() => void vi.useRealTimers());

describe("Screen", () => {
  it("runs a timer only while someone looks", () => {
    vi.useFakeTimers();
    const screen = new Screen(FACTS, clockFrom(Date.now()));
    screen.follow(clockFrom(Date.now()));
    screen.key(0x61, true, null);
    expect(vi.getTimerCount()).toBe(0);
    const views = [screen.attach(() => {}), screen.attach(() => {})];
    screen.follow(clockFrom(Date.now()));
    expect(vi.getTimerCount()).toBe(1);
    for (const view of views) view.detach();
    views[0]?.detach();
    expect(vi.getTimerCount()).toBe(0);
  });

  it("redraws nothing but the uptime as a second passes", () => {
    vi.useFakeTimers();
    const screen = new Screen(FACTS, clockFrom(Date.now() - 10_000));
    const damage: Rect[] = [];
    screen.attach((rect) => damage.push(rect));
    damage.length = 0;
    vi.advanceTimersByTime(1000);
    expect(damage.length).toBeGreaterThan(0);
    for (const rect of damage) expect(intersect(rect, UPTIME)).toEqual(rect);
  });

  it("is cleared by a boot, says so for a moment, and counts anew", () => {
    vi.useFakeTimers();
    const screen = new Screen(FACTS, clockFrom(Date.now() - 60_000));
    const { picture } = screen.attach(() => {});
    const fresh = picture.pixels.slice();
    screen.key(0x61, true, null);
    const typed = picture.pixels.slice();
    expect(typed).not.toEqual(fresh);
    screen.follow(clockFrom(Date.now()));
    const booting = picture.pixels.slice();
    expect(booting).not.toEqual(fresh);
    vi.advanceTimersByTime(BOOT_MS);
    expect(picture.pixels).not.toEqual(booting);
    vi.advanceTimersByTime(60_000 - BOOT_MS);
    expect(picture.pixels).toEqual(fresh);
  });

  it("is a picture that nothing changes while its guest is held, and goes on from there", () => {
    vi.useFakeTimers();
    const clock = clockFrom(Date.now() - 60_000);
    const screen = new Screen(FACTS, clock);
    const { picture } = screen.attach(() => {});
    const before = picture.pixels.slice();
    const held = halt(clock, Date.now());
    screen.follow(held);
    expect(vi.getTimerCount()).toBe(0);
    vi.advanceTimersByTime(3_600_000);
    screen.key(0x61, true, null);
    screen.pointer(9, 9, 1);
    screen.cutText("x");
    expect(picture.pixels).toEqual(before);
    expect(new Screen(FACTS, held).attach(() => {}).picture.pixels).toEqual(before);
    screen.follow(goOn(held, Date.now()));
    expect(picture.pixels).toEqual(before);
    vi.advanceTimersByTime(1000);
    expect(picture.pixels).not.toEqual(before);
  });

  it("shows what the guest's kernel prints above what is typed", () => {
    const screen = new Screen(FACTS, clockFrom(0));
    const { picture } = screen.attach(() => {});
    const before = picture.pixels.slice();
    screen.print("NMI");
    expect(picture.pixels).not.toEqual(before);
  });

  it("leaves no trace of the pointer where it was", () => {
    vi.useFakeTimers();
    const screen = new Screen(FACTS, clockFrom(0));
    const { picture } = screen.attach(() => {});
    screen.pointer(100, 100, 0);
    const before = picture.pixels.slice();
    for (const [x, y] of [
      [799, 599],
      [0, 0],
      [400, 300],
      [250, 575],
    ] as const) {
      screen.pointer(x, y, 7);
      screen.key(0x61, true, null);
      screen.key(0xff08, true, null);
    }
    screen.pointer(100, 100, 0);
    expect(picture.pixels).toEqual(before);
  });
});

describe("Terminal", () => {
  const press = (terminal: Terminal, ...keysyms: number[]) => {
    for (const keysym of keysyms) terminal.key(keysym, true, null);
  };
  /** The rows as text: `_` the caret, names of keys as they are. */
  const shown = (terminal: Terminal): string[] => {
    const cells = terminal.view();
    return Array.from({ length: terminal.rows }, (_, row) =>
      [...cells.subarray(row * terminal.columns, (row + 1) * terminal.columns)]
        .map((cell) => (cell === 0 ? " " : cell === CARET ? "_" : String.fromCharCode(cell & ~NAMED)))
        .join("")
        .trimEnd(),
    );
  };

  it("wraps, scrolls and starts a new line at Return", () => {
    const terminal = new Terminal(5, 3);
    press(terminal, 0x61, 0x62, 0x63, 0x64);
    expect(shown(terminal)).toEqual(["> abc", "d_", ""]);
    press(terminal, 0xff0d, 0x65, 0xff8d);
    expect(shown(terminal)).toEqual(["d", "> e", "> _"]);
  });

  it("names the keys that print nothing, with the modifiers that are held", () => {
    const terminal = new Terminal(40, 1);
    press(terminal, 0xffbe, 0xffe3, 0xffe9, 0xffff);
    terminal.key(0xffe9, false, null);
    press(terminal, 0x63);
    terminal.key(0xffe3, false, null);
    press(terminal, 0xffe1, 0x43);
    expect(shown(terminal)).toEqual(["> <F1><Ctrl+Alt+Delete><Ctrl+c>C_"]);
    expect(terminal.held).toEqual(["Shift"]);
  });

  it("shows a key that came with a scancode only, the keypad, and a box for what the font has not", () => {
    const terminal = new Terminal(40, 1);
    terminal.key(0, true, 57);
    press(terminal, 0xffb7, 0xe9, 0x010020ac, 0x12345);
    expect(shown(terminal)).toEqual(["> <scan 57>7\x7f\x7f<0x12345>_"]);
  });

  it("erases a character or a whole name, and never the prompt", () => {
    const terminal = new Terminal(40, 1);
    press(terminal, 0x61, 0xffbe, 0xff08);
    expect(shown(terminal)).toEqual(["> a_"]);
    press(terminal, 0xff08, 0xff08, 0xff08);
    expect(shown(terminal)).toEqual(["> _"]);
  });
});

describe("Damage", () => {
  it("covers all that was added, in a bounded number of rectangles", () => {
    const damage = new Damage();
    const all = { x: 0, y: 0, width: 800, height: 600 };
    const added: Rect[] = [];
    for (let i = 0; i < 200; i++) added.push({ x: (i * 97) % 790, y: (i * 61) % 590, width: 3, height: 3 });
    for (const rect of added) damage.add(rect);
    const taken = damage.take(all);
    expect(taken.length).toBeLessThanOrEqual(24);
    for (const rect of added) expect(taken.some((one) => intersect(one, rect)?.width === 3)).toBe(true);
    expect(damage.take(all)).toEqual([]);
  });

  it("keeps what lies outside of what is taken, and no more", () => {
    const damage = new Damage();
    damage.add({ x: 0, y: 0, width: 10, height: 10 });
    const hole = { x: 5, y: 5, width: 3, height: 3 };
    expect(damage.take(hole)).toEqual([hole]);
    expect(damage.take(hole)).toEqual([]);
    const rest = damage.take({ x: 0, y: 0, width: 100, height: 100 });
    expect(rest.reduce((sum, { width, height }) => sum + width * height, 0)).toBe(100 - 9);
    for (const rect of rest) expect(intersect(rect, hole)).toBeNull();
  });
});
