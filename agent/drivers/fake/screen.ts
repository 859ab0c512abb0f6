/**
 * The living screen of a fake guest: who it is, for how long it runs, what was typed, where the pointer is.
 *
 * While nobody looks it holds no pixels and runs no timer: the first client makes the picture, the last one ends it.
 * While somebody looks and does nothing, the uptime is redrawn once a second and that is all.
 */
import { Canvas, cell } from "./canvas.ts";
import type { Rect } from "./damage.ts";
import type { Display } from "./display.ts";
import { age, type GuestClock } from "./guest-clock.ts";
import { Pointer } from "./pointer.ts";
import { CARET, NAMED, Terminal, type TerminalText } from "./terminal.ts";

export const WIDTH = 800;
export const HEIGHT = 600;
/** How long "booting..." stands on the screen after a boot. */
export const BOOT_MS = 1500;

const COLOR = {
  background: 0x0b0f17,
  panel: 0x131a27,
  line: 0x27344a,
  text: 0xdbe4f3,
  dim: 0x7c8aa5,
  accent: 0xff8b3d,
  name: 0x58c4ff,
  good: 0x41d69b,
} as const;

const TITLE_HEIGHT = 58;
const MARGIN = 28;
const VALUE_X = 140;
const FACTS_Y = 78;
const FACT_STEP = 28;
const CONSOLE: Rect = { x: 20, y: 232, width: 760, height: 314 };
const STATUS_Y = 558;
const PADDING = 16;
const SMALL = cell(2);
const COLUMNS = Math.floor((CONSOLE.width - 2 * PADDING) / SMALL.width);
const ROWS = Math.floor((CONSOLE.height - 2 * PADDING + 4) / SMALL.height);

/** What stands on the screen and does not change. */
export type ScreenFacts = { name: string; uuid: string; size: string; host: string; power: string };

type Line = { label: string; value: string; color: number };

export class Screen implements Display {
  readonly width = WIDTH;
  readonly height = HEIGHT;
  readonly #facts: ScreenFacts;
  readonly #now: () => number;
  readonly #watchers = new Set<(rect: Rect) => void>();
  readonly #terminal = new Terminal(COLUMNS, ROWS);
  readonly #pointer = new Pointer(WIDTH / 2, 150);
  #clock: GuestClock;
  #canvas: Canvas | null = null;
  #timer: NodeJS.Timeout | undefined;
  /** What is drawn now, to redraw only what differs: the cells of the console, and other texts by their place. */
  #cells: Uint8Array = new Uint8Array(COLUMNS * ROWS);
  readonly #drawn = new Map<string, string>();
  #booting = false;

  /** `clock` is in milliseconds of `now`, which is the wall clock when not given. */
  constructor(facts: ScreenFacts, clock: GuestClock, now: () => number = Date.now) {
    this.#facts = facts;
    this.#clock = clock;
    this.#now = now;
  }

  attach(onDamage: (rect: Rect) => void): { picture: Canvas; detach(): void } {
    this.#watchers.add(onDamage);
    const picture = this.#canvas ?? this.#open();
    const detach = () => {
      if (this.#watchers.delete(onDamage) && this.#watchers.size === 0) this.#shut();
    };
    return { picture, detach };
  }

  /**
   * Keeps the guest's time from now on. A later boot clears the screen; a clock that stands still makes a picture that
   * nothing changes.
   */
  follow(clock: GuestClock): void {
    const booted = clock.booted_at !== this.#clock.booted_at;
    this.#clock = clock;
    if (booted) {
      this.#terminal.clear();
      this.#draw((canvas) => this.#everything(canvas));
    }
    this.#plan();
  }

  /** What was typed and printed. */
  get text(): TerminalText {
    return this.#terminal.text;
  }

  set text(text: TerminalText) {
    this.#terminal.text = text;
    this.#draw((canvas) => this.#console(canvas));
  }

  /** A line that the guest itself prints. */
  print(text: string): void {
    this.#terminal.print(text);
    this.#draw((canvas) => this.#console(canvas));
  }

  key(keysym: number, down: boolean, scancode: number | null): void {
    if (this.#held) return;
    this.#terminal.key(keysym, down, scancode);
    this.#draw((canvas) => {
      this.#console(canvas);
      this.#status(canvas);
    });
  }

  pointer(x: number, y: number, buttons: number): void {
    if (this.#held) return;
    this.#draw((canvas) => {
      const before = this.#pointer.area(canvas);
      this.#pointer.x = x;
      this.#pointer.y = y;
      this.#pointer.buttons = buttons;
      const after = this.#pointer.area(canvas);
      if (before) this.#damaged(before);
      if (after) this.#damaged(after);
      this.#status(canvas);
    });
  }

  cutText(text: string): void {
    if (this.#held) return;
    this.#terminal.paste(text);
    this.#draw((canvas) => this.#console(canvas));
  }

  #open(): Canvas {
    const canvas = new Canvas(WIDTH, HEIGHT, (rect) => this.#damaged(rect));
    this.#canvas = canvas;
    this.#draw(() => this.#everything(canvas));
    this.#plan();
    return canvas;
  }

  #shut(): void {
    clearTimeout(this.#timer);
    this.#terminal.release();
    if (this.#canvas) this.#pointer.hide(this.#canvas);
    this.#canvas = null;
  }

  /** Runs at the next change that time alone brings: the next second of uptime, or the end of the boot. */
  #plan(): void {
    clearTimeout(this.#timer);
    if (!this.#canvas || this.#held) return;
    const age = this.#age();
    const wait = age < BOOT_MS ? Math.min(1000 - (age % 1000), BOOT_MS - age) : 1000 - (age % 1000);
    this.#timer = setTimeout(() => {
      this.#draw((canvas) => {
        this.#uptime(canvas);
        if (this.#booting) this.#console(canvas);
      });
      this.#plan();
    }, wait);
    this.#timer.unref();
  }

  #age(): number {
    return age(this.#clock, this.#now());
  }

  get #held(): boolean {
    return this.#clock.halted_at !== null;
  }

  #damaged(rect: Rect): void {
    for (const watcher of this.#watchers) watcher(rect);
  }

  /** Draws, if there is a picture, with the pointer out of the way. */
  #draw(paint: (canvas: Canvas) => void): void {
    const canvas = this.#canvas;
    if (!canvas) return;
    this.#pointer.hide(canvas);
    paint(canvas);
    this.#pointer.show(canvas);
  }

  #everything(canvas: Canvas): void {
    canvas.fill({ x: 0, y: 0, width: WIDTH, height: HEIGHT }, COLOR.background);
    this.#title(canvas);
    const { name, uuid, size } = this.#facts;
    this.#line(canvas, 0, { label: "Server", value: name, color: COLOR.text });
    this.#line(canvas, 1, { label: "UUID", value: uuid, color: COLOR.text });
    this.#line(canvas, 2, { label: "Size", value: size, color: COLOR.text });
    this.#line(canvas, 3, { label: "Power", value: `  ${this.#facts.power}`, color: COLOR.good });
    canvas.fill({ x: VALUE_X + 1, y: FACTS_Y + 3 * FACT_STEP + 2, width: 12, height: 12 }, COLOR.good);
    this.#line(canvas, 4, { label: "Uptime", value: "", color: COLOR.text });
    this.#drawn.clear();
    this.#uptime(canvas);
    canvas.fill(CONSOLE, COLOR.panel);
    canvas.outline(CONSOLE, COLOR.line);
    this.#cells.fill(0);
    this.#console(canvas);
    canvas.fill({ x: 0, y: STATUS_Y, width: WIDTH, height: HEIGHT - STATUS_Y }, COLOR.panel);
    canvas.fill({ x: 0, y: STATUS_Y, width: WIDTH, height: 1 }, COLOR.line);
    this.#status(canvas);
  }

  #title(canvas: Canvas): void {
    canvas.fill({ x: 0, y: 0, width: WIDTH, height: TITLE_HEIGHT }, COLOR.panel);
    canvas.fill({ x: 0, y: TITLE_HEIGHT - 2, width: WIDTH, height: 2 }, COLOR.accent);
    for (const [row, width] of [28, 20, 28].entries()) {
      canvas.fill({ x: MARGIN, y: 14 + row * 11, width, height: 6 }, COLOR.accent);
    }
    canvas.text(MARGIN + 44, 12, "edgenova", { color: COLOR.text, scale: 4 });
    const host = `fake host ${this.#facts.host}`.slice(0, 36);
    canvas.text(WIDTH - MARGIN - host.length * SMALL.width, 22, host, { color: COLOR.dim, scale: 2 });
  }

  #line(canvas: Canvas, row: number, { label, value, color }: Line): void {
    const y = FACTS_Y + row * FACT_STEP;
    const fits = Math.floor((WIDTH - VALUE_X - MARGIN) / SMALL.width);
    canvas.text(MARGIN, y, label, { color: COLOR.dim, scale: 2 });
    canvas.text(VALUE_X, y, [...value].slice(0, fits).join(""), { color, scale: 2 });
  }

  #uptime(canvas: Canvas): void {
    const text = clock(this.#age());
    if (!this.#differs("uptime", text)) return;
    const y = FACTS_Y + 4 * FACT_STEP;
    canvas.fill({ x: VALUE_X, y, width: 14 * SMALL.width, height: SMALL.height }, COLOR.background);
    canvas.text(VALUE_X, y, text, { color: COLOR.accent, scale: 2 });
  }

  /** Whether the text at a place is not the one that is drawn there; from now on it is. */
  #differs(place: string, text: string): boolean {
    const before = this.#drawn.get(place);
    this.#drawn.set(place, text);
    return before !== text;
  }

  /** Redraws, in each row of the console (which starts 2 pixels above its text), what lies between the first and the last cell that changed. */
  #console(canvas: Canvas): void {
    this.#booting = this.#age() < BOOT_MS;
    const wanted = this.#booting ? booting() : this.#terminal.view();
    for (let row = 0; row < ROWS; row++) {
      const start = row * COLUMNS;
      const differs = (column: number) => wanted[start + column] !== this.#cells[start + column];
      let first = 0;
      let end = COLUMNS;
      while (first < COLUMNS && !differs(first)) first++;
      while (end > first && !differs(end - 1)) end--;
      const x = CONSOLE.x + PADDING + first * SMALL.width;
      const y = CONSOLE.y + PADDING + row * SMALL.height;
      canvas.fill({ x, y: y - 2, width: (end - first) * SMALL.width, height: SMALL.height }, COLOR.panel);
      for (let column = first; column < end; column++) {
        const at = CONSOLE.x + PADDING + column * SMALL.width;
        this.#cell(canvas, { x: at, y, content: wanted[start + column] ?? 0 });
      }
    }
    this.#cells = wanted;
  }

  #cell(canvas: Canvas, { x, y, content }: { x: number; y: number; content: number }): void {
    if (content === 0) return;
    if (content === CARET) {
      canvas.fill({ x, y: y - 2, width: SMALL.width - 2, height: SMALL.height - 2 }, COLOR.accent);
      return;
    }
    const color = (content & NAMED) === 0 ? COLOR.text : COLOR.name;
    canvas.text(x, y, String.fromCharCode(content & 0x7f), { color, scale: 2 });
  }

  #status(canvas: Canvas): void {
    const y = STATUS_Y + 13;
    const { x: left, y: top, buttons } = this.#pointer;
    if (this.#differs("pointer", `${left},${top}`)) {
      canvas.fill({ x: MARGIN, y, width: 16 * SMALL.width, height: SMALL.height }, COLOR.panel);
      canvas.text(MARGIN, y, `pointer ${left},${top}`, { color: COLOR.dim, scale: 2 });
    }
    if (this.#differs("buttons", String(buttons))) {
      for (let button = 0; button < 3; button++) {
        const box = { x: 244 + button * 24, y: y - 2, width: 18, height: 18 };
        const pressed = (buttons & (1 << button)) !== 0;
        canvas.fill(box, pressed ? COLOR.accent : COLOR.panel);
        canvas.outline(box, pressed ? COLOR.accent : COLOR.line);
      }
    }
    const held = this.#terminal.held.join("+");
    if (this.#differs("held", held)) {
      const right = WIDTH - MARGIN;
      canvas.fill({ x: right - 32 * SMALL.width, y, width: 32 * SMALL.width, height: SMALL.height }, COLOR.panel);
      canvas.text(right - held.length * SMALL.width, y, held, { color: COLOR.name, scale: 2 });
    }
  }
}

function booting(): Uint8Array {
  const cells = new Uint8Array(COLUMNS * ROWS);
  cells.set(Buffer.from("booting...", "ascii"));
  return cells;
}

/** Milliseconds as `[days]d hh:mm:ss`. */
function clock(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const parts = [Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60, seconds % 60];
  const days = Math.floor(seconds / 86_400);
  return `${days > 0 ? `${days}d ` : ""}${parts.map((part) => String(part).padStart(2, "0")).join(":")}`;
}
