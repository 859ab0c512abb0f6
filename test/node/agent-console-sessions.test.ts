import type { Socket } from "node:net";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { ClosedConsoles } from "../../agent/console/closed-consoles.ts";
import { CONSOLE_CLOSE, CONSOLE_REASON, GO, HOLD } from "../../functions/protocol/console.ts";
import type { ConsoleClosed, FromAgent } from "../../functions/protocol/frames.ts";
import { WELCOME } from "../rfb-peers.ts";
import { ConsoleHost, KEY, MAX_SESSIONS, type OpenedConsole, PARAMS, person } from "./agent-console-host.ts";
import { OTHER, SERVER, until } from "./agent-support.ts";

const CTRL = Buffer.from([4, 1, 0, 0, 0, 0, 255, 227]);
const CTRL_UP = Buffer.from([4, 0, 0, 0, 0, 0, 255, 227]);
const UNAVAILABLE = { code: "ConsoleNotAvailable" };
const id = (number: number) => person(number).session!.session;

let host: ConsoleHost;
beforeEach(async () => {
  host = await ConsoleHost.start();
  return () => host.stop();
});

/** What reaches the screen from now on. */
function typed({ screen }: OpenedConsole): () => Buffer {
  const up: Buffer[] = [];
  screen.on("data", (bytes: Buffer) => void up.push(bytes)).resume();
  return () => Buffer.concat(up);
}
const told = ({ viewer }: OpenedConsole) => viewer.texts.map((text) => JSON.parse(text));
const people = (one: OpenedConsole) => told(one).findLast(({ t }) => t === "people");
const say = ({ viewer }: OpenedConsole, what: object | string) =>
  viewer.socket.send(typeof what === "string" ? what : JSON.stringify(what));
const endOf = ({ viewer }: OpenedConsole) => until(() => viewer.closed !== undefined, "the close");

describe("a session", () => {
  it("goes on on its next leg, and what was its connection ends as moved", async () => {
    const first = await host.open(person(1));
    const second = await host.open(person(1, { leg: 4 }));
    await endOf(first);
    expect(first.viewer.closed).toEqual([CONSOLE_CLOSE.MOVED, CONSOLE_REASON[CONSOLE_CLOSE.MOVED]]);
    for (const leg of [2, 3])
      await expect(host.consoles.open(SERVER, person(1, { leg }))).rejects.toMatchObject(UNAVAILABLE);
    expect(second.viewer.closed).toBeUndefined();
    await until(() => host.closed.length === 1, "the report");
    expect(host.closed[0]).toMatchObject({ session: id(1), leg: 1, code: CONSOLE_CLOSE.MOVED, by: "link" });
    expect(host.consoles.list(SERVER)).toMatchObject([{ session: id(1), leg: 4 }]);
  });

  it("that cannot go on, as the screen does not answer, stays where it is", async () => {
    const first = await host.open(person(1));
    host.driver.vnc = null;
    await expect(host.consoles.open(SERVER, person(1, { leg: 2 }))).rejects.toMatchObject(UNAVAILABLE);
    expect([first.viewer.closed, host.consoles.count]).toEqual([undefined, 1]);
  });

  it("is listed, and reported when it ends, with what went through it", async () => {
    const one = await host.open(person(1));
    await host.open(PARAMS);
    await host.open(person(2), OTHER);
    const up = typed(one);
    one.viewer.socket.send(Buffer.concat([KEY, KEY, Buffer.from([5, 0, 0, 1, 0, 1])]));
    await until(() => up().length === 22, "the input");
    const counts = { keys: 2, pointers: 1, cut_texts: 0, bytes_up: 36, bytes_down: expect.any(Number) };
    expect(host.consoles.list(SERVER)).toEqual([{ session: id(1), leg: 1, ...counts }]);
    one.viewer.socket.close(1000);
    await until(() => host.closed.length === 1, "the report");
    expect(host.closed[0]).toEqual({
      t: "console_closed",
      server: SERVER,
      session: id(1),
      leg: 1,
      ...counts,
      by: "link",
      code: 1000,
      at: expect.any(Number),
    });
    expect(host.closed[0]!.bytes_down).toBeGreaterThanOrEqual(WELCOME.length);
    expect(host.consoles.list(SERVER)).toEqual([]);
  });

  it("whose screen ends is reported as ended by it, and one that the edge does not take as lost", async () => {
    const { screen } = await host.open(person(1));
    screen.end();
    await until(() => host.closed.length === 1, "the report");
    expect(host.closed[0]).toMatchObject({ by: "screen", code: CONSOLE_CLOSE.SCREEN_CLOSED });
    host.edge.refuse = { status: 401 };
    await host.consoles.open(SERVER, person(2));
    await until(() => host.closed.length === 2, "the second report");
    expect(host.closed[1]).toMatchObject({ session: id(2), by: "link", code: 1006, bytes_up: 0 });
    await host.consoles.open(SERVER, { ...person(3), ticket: "no header\n" });
    await until(() => host.closed.length === 3, "the third report");
    expect([host.closed[2]!.code, host.consoles.count]).toEqual([1006, 0]);
  });

  it("is refused beyond as many as the host takes", async () => {
    for (let at = 0; at < MAX_SESSIONS; at++) await host.consoles.open(SERVER, person(at));
    await expect(host.consoles.open(OTHER, PARAMS)).rejects.toMatchObject({ code: "TooManyConsoles" });
    await host.consoles.open(SERVER, person(0, { leg: 2 }));
    host.consoles.close(SERVER, { sessions: [id(1)], code: CONSOLE_CLOSE.KILLED });
    await until(() => host.consoles.count < MAX_SESSIONS, "room");
    await host.consoles.open(OTHER, PARAMS);
  });
});

describe("a cut", () => {
  it("ends the sessions that are meant, or all of the server, with its code and reason", async () => {
    const [one, two, old, other] = [
      await host.open(person(1)),
      await host.open(person(2)),
      await host.open(PARAMS),
      await host.open(person(3), OTHER),
    ];
    host.consoles.close(SERVER, { sessions: [id(1), id(3), id(9)], code: CONSOLE_CLOSE.REVOKED });
    await endOf(one);
    expect(one.viewer.closed).toEqual([CONSOLE_CLOSE.REVOKED, CONSOLE_REASON[CONSOLE_CLOSE.REVOKED]]);
    expect(host.consoles.count).toBe(3);
    // Of a newer edge.
    host.consoles.close(SERVER, { code: 4999 });
    await Promise.all([endOf(two), endOf(old)]);
    expect([two.viewer.closed, old.viewer.closed, other.viewer.closed]).toEqual([[4999, ""], [4999, ""], undefined]);
    await until(() => host.closed.length === 2, "the reports");
    expect(host.closed.map(({ code }) => code)).toEqual([CONSOLE_CLOSE.REVOKED, 4999]);
  });

  it("ends one whose viewer never answers, and what that types meanwhile reaches nothing", async () => {
    const one = await host.open(person(1));
    const up = typed(one);
    // The other side of the WebSocket goes on to send, and reads nothing.
    one.viewer.socket.pause();
    host.consoles.close(SERVER, { code: CONSOLE_CLOSE.KILLED });
    one.viewer.socket.send(KEY);
    await until(() => host.closed.length === 1, "the report");
    expect(host.closed[0]).toMatchObject({ code: CONSOLE_CLOSE.KILLED, by: "link", keys: 0 });
    await until(() => one.screen.destroyed, "the screen's end");
    expect(up()).toHaveLength(0);
  });

  it("reaches a session whose screen has not answered yet, and one that is dialling", async () => {
    host.leads = false;
    const accepted = new Promise((resolve) => host.vnc.once("connection", resolve));
    const opening = host.consoles.open(SERVER, person(1));
    const outcome = expect(opening).rejects.toMatchObject({
      ...UNAVAILABLE,
      message: CONSOLE_REASON[CONSOLE_CLOSE.LOCKED_OUT],
    });
    const socket = (await accepted) as Socket;
    host.consoles.close(SERVER, { code: CONSOLE_CLOSE.LOCKED_OUT });
    host.lead(socket);
    await outcome;
    expect(host.edge.consoles).toHaveLength(0);
    host.leads = true;
    await host.consoles.open(SERVER, person(2));
    host.consoles.close(SERVER, { code: CONSOLE_CLOSE.LOCKED });
    await until(() => host.closed.length === 1, "the report");
    expect(host.closed[0]).toMatchObject({ session: id(2), code: CONSOLE_CLOSE.LOCKED });
  });
});

describe("people on a screen", () => {
  it("are told who is there, first and whenever it changes", async () => {
    const one = await host.open(person(1, { label: "Ann", owner: true }));
    await until(() => one.viewer.texts.length === 1, "the first word");
    const ann = { id: 1, label: "Ann", owner: true, input: true };
    expect(told(one)).toEqual([{ t: "people", you: 1, sharing: "one", control: 1, people: [ann] }]);
    const two = await host.open(person(2, {}, { input: false, clipboard: false }));
    const bob = { id: 2, label: "person 2", owner: false, input: false };
    await until(() => people(one).people.length === 2 && two.viewer.texts.length === 1, "both");
    expect(told(two)).toEqual([{ t: "people", you: 2, sharing: "one", control: 1, people: [ann, bob] }]);
    two.viewer.socket.close(1000);
    await until(() => people(one).people.length === 1, "the first alone");
  });

  it("type in turn, and keys that one held down are lifted when another takes over", async () => {
    const [one, two] = [await host.open(person(1)), await host.open(person(2, { owner: true }))];
    const [byOne, byTwo] = [typed(one), typed(two)];
    for (const { viewer } of [one, two]) viewer.socket.send(CTRL);
    await until(() => byOne().equals(CTRL), "the first's key");
    say(two, { t: "take" });
    await until(() => byOne().equals(Buffer.concat([CTRL, CTRL_UP])), "the lifting");
    two.viewer.socket.send(KEY);
    await until(() => byTwo().equals(KEY), "the second's key, and not the one before");
    one.viewer.socket.send(CTRL_UP);
    say(one, { t: "ask" });
    await until(() => told(two).some(({ t }) => t === "asked"), "the question");
    expect(told(two).at(-1)).toEqual({ t: "asked", by: 1 });
    say(two, { t: "give", to: 1 });
    await until(() => people(one).control === 1, "control");
    one.viewer.socket.send(KEY);
    await until(() => byOne().equals(Buffer.concat([CTRL, CTRL_UP, KEY])), "what is typed then");
  });

  it("type all together, from the moment that the sharing says so", async () => {
    const [one, two] = [await host.open(person(1)), await host.open(person(2, { page: false }))];
    const up = typed(two);
    host.consoles.share(SERVER, "all");
    await until(() => people(one).sharing === "all", "the news");
    two.viewer.socket.send(KEY);
    await until(() => up().equals(KEY), "the second's key");
    expect(two.viewer.texts).toEqual([]);
  });

  it("are alone on a private screen, unless they were together before", async () => {
    const [one, two] = [await host.open(person(1)), await host.open(person(2))];
    host.consoles.share(SERVER, "private");
    await until(() => people(two).sharing === "private", "the news");
    const refused = { ...UNAVAILABLE, message: expect.stringContaining("it is private") };
    await expect(host.consoles.open(SERVER, person(3, { sharing: "private" }))).rejects.toMatchObject(refused);
    expect([one.viewer.closed, two.viewer.closed]).toEqual([undefined, undefined]);
    await host.open(person(1, { leg: 2, sharing: "private" }));
    await host.open(person(4, { sharing: "private" }), OTHER);
  });

  it("have control again when they come back, and not after they were sent", async () => {
    const two = await host.open(person(2, { sharing: "all" }));
    const one = await host.open(person(1, { sharing: "all", owner: true }));
    host.consoles.share(SERVER, "one");
    say(one, { t: "take" });
    const control = () => people(two).control;
    await until(() => control() === 2, "the owner's control");
    one.viewer.socket.terminate();
    await until(() => people(two).people.length === 1, "the loss");
    expect(control()).toBe(2);
    await host.open(person(1, { leg: 2, owner: true }));
    await until(() => people(two).people.length === 2, "the return");
    expect(control()).toBe(2);
    host.consoles.close(SERVER, { sessions: [id(1)], code: CONSOLE_CLOSE.KILLED });
    await until(() => control() === 1, "control of the one who is left");
  });

  it("lift their keys when their connection breaks", async () => {
    const one = await host.open(person(1));
    const up = typed(one);
    one.viewer.socket.send(Buffer.concat([CTRL, Buffer.from([5, 1, 0, 9, 0, 8])]));
    await until(() => up().length === 14, "the press");
    one.viewer.socket.terminate();
    await until(() => up().length === 28, "the lifting");
    expect(up().subarray(14)).toEqual(Buffer.concat([CTRL_UP, Buffer.from([5, 0, 0, 9, 0, 8])]));
  });

  it.each<[string, (one: OpenedConsole) => void]>([
    ["are cut", () => host.consoles.close(SERVER, { code: CONSOLE_CLOSE.KILLED })],
    ["say what is no RFB", ({ viewer }) => viewer.socket.send(Buffer.from([9]))],
  ])("lift their keys when they %s", async (_, ends) => {
    const one = await host.open(person(1));
    const up = typed(one);
    one.viewer.socket.send(CTRL);
    await until(() => up().equals(CTRL), "the press");
    // Nobody agrees to the end.
    one.viewer.socket.pause();
    ends(one);
    await until(() => up().equals(Buffer.concat([CTRL, CTRL_UP])), "the lifting");
  });
});

describe("a page's text", () => {
  it("that is a ping is answered; of an unknown kind it is ignored", async () => {
    const one = await host.open(person(1));
    say(one, { t: "new in 2030", deep: [1] });
    say(one, { t: "ping", at: 12.5 });
    await until(() => told(one).some(({ t }) => t === "pong"), "the answer");
    expect(told(one).at(-1)).toEqual({ t: "pong", at: 12.5 });
  });

  it.each([
    ["no JSON"],
    ["null"],
    [{ t: "give", to: "me" }],
    [{ t: "ping" }],
    [{ t: "ping", at: 1, pad: "x".repeat(256) }],
  ])("%j ends the session", async (what) => {
    const one = await host.open(person(1));
    say(one, what);
    await endOf(one);
    expect(one.viewer.closed![0]).toBe(CONSOLE_CLOSE.BAD_VIEWER);
  });

  it("ends a session that understands none, but for the relay's orders, which both obey", async () => {
    const [page, stock] = [await host.open(person(1)), await host.open(person(2, { page: false }))];
    for (const one of [page, stock]) {
      say(one, HOLD);
      say(one, GO);
      one.screen.write(Buffer.from([2]));
      await until(() => one.viewer.messages.some((bytes) => bytes[0] === 2), "the bell");
    }
    say(stock, { t: "ping", at: 1 });
    await endOf(stock);
    expect(stock.viewer.closed![0]).toBe(1003);
    expect(page.viewer.closed).toBeUndefined();
  });

  it("waits while the relay holds, and is the newest then", async () => {
    const one = await host.open(person(1));
    await until(() => one.viewer.texts.length === 1, "the first word");
    say(one, HOLD);
    for (let at = 0; at < 50; at++) say(one, { t: "ping", at });
    const two = await host.open(person(2));
    host.consoles.share(SERVER, "all");
    await until(() => people(two)?.sharing === "all", "the news at the second");
    expect(one.viewer.texts).toHaveLength(1);
    say(one, GO);
    await until(() => one.viewer.texts.length === 3, "what waited");
    expect(told(one).slice(1)).toEqual([
      { t: "pong", at: 49 },
      expect.objectContaining({ t: "people", sharing: "all" }),
    ]);
  });
});

describe("a viewer that stalls", () => {
  it("does not hold up the others on its screen, and little waits for it", async () => {
    const slow = await host.open(person(1));
    const live = [await host.open(person(2)), await host.open(person(3)), await host.open(person(4))];
    slow.viewer.socket.pause();
    // A raw rectangle that never ends.
    const head = Buffer.from([0, 0, 0, 1, 0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0]);
    const chunk = Buffer.alloc(65_536, 7);
    for (const one of [slow, ...live]) one.screen.write(head);
    let offered = 0;
    for (let calm = 0; calm < 20; calm++) {
      while (slow.screen.writableLength < 1_000_000) {
        slow.screen.write(chunk);
        offered += chunk.length;
        calm = 0;
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(offered - slow.screen.writableLength).toBeLessThan(32_000_000);
    for (let at = 0; at < 200; at++) host.consoles.share(SERVER, at % 2 ? "one" : "all");
    const length = 4_000_000;
    for (const one of live) one.screen.write(Buffer.alloc(length));
    for (const one of live) {
      await until(() => one.viewer.messages.reduce((sum, { length }) => sum + length, 0) >= length, "the picture");
    }
    expect(slow.viewer.closed).toBeUndefined();
    const before = slow.viewer.texts.length;
    slow.viewer.socket.resume();
    await until(() => people(slow)?.people.length === 4 && people(slow).sharing === "one", "the news");
    // One was on its way, and one waited.
    expect(slow.viewer.texts.length - before).toBeLessThanOrEqual(3);
  });
});

describe("reports of what ended", () => {
  const closed = (leg: number): ConsoleClosed => ({
    t: "console_closed",
    server: SERVER,
    session: id(1),
    leg,
    bytes_up: 0,
    bytes_down: 0,
    keys: 0,
    pointers: 0,
    cut_texts: 0,
    by: "link",
    code: 1000,
    at: 0,
  });

  it("are sent at once, and again with each link until they are noted; the oldest are given up", () => {
    const send = vi.fn<(frame: FromAgent) => void>();
    const reports = new ClosedConsoles(send, 2);
    for (const leg of [1, 2, 3]) reports.add(closed(leg));
    expect(send.mock.calls.map(([frame]) => frame)).toEqual([closed(1), closed(2), closed(3)]);
    send.mockClear();
    reports.linked();
    reports.noted({ session: id(1), leg: 2 });
    reports.noted({ session: id(2), leg: 3 });
    reports.linked();
    expect(send.mock.calls.map(([frame]) => frame)).toEqual([closed(2), closed(3), closed(3)]);
  });
});
