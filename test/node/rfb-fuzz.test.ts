/**
 * Whatever comes to the agent's side of a console, from either end and in whatever pieces: nothing but RfbError is
 * thrown, little is held, and nothing passes that has no right to. RFB_FUZZ_CASES is how many cases there are, and
 * RFB_FUZZ_SEED where they begin: a case that fails names its own seed.
 */
import { describe, expect, it } from "vitest";
import { PageText, readPage } from "../../agent/console/page-text.ts";
import { ScreenMessages } from "../../agent/console/screen-messages.ts";
import { Viewer } from "../../agent/console/viewer.ts";
import { login } from "../../agent/console/vnc-login.ts";
import { ByteFeed, type Reading } from "../../agent/rfb/byte-feed.ts";
import { RfbError } from "../../agent/rfb/rfb-error.ts";
import { ENCODING } from "../../agent/rfb/wire.ts";
import { MAX_PAGE_TEXT_BYTES } from "../../functions/protocol/console-presence.ts";
import { GREETING, HELLO, SERVER_INIT, VIEWER_MESSAGES } from "../rfb-peers.ts";
import { Chance } from "./rfb-fuzz-bytes.ts";
import { MESSAGES, PIXELS, TEXTS } from "./rfb-screen-messages.ts";

const CASES = Number(process.env.RFB_FUZZ_CASES ?? 100_000);
const SEED = Number(process.env.RFB_FUZZ_SEED ?? 1);

/** Enough that some of them are as they should be. */
const MANY = 10_000;
/** One piece of a text of the clipboard; the longest list of encodings is shorter. */
const MAX_HELD_OF_VIEWER = 16 * 1024;
const MAX_HELD_OF_SCREEN = 16;
/** The name of a screen. */
const MAX_HELD_OF_LOGIN = 64 * 1024;
const MAX_SENT_AT_LOGIN = 1024;

/** Runs its share of all cases, each with chance of its own. */
function fuzz(share: number, one: (chance: Chance) => void): void {
  const cases = Math.ceil(CASES * share);
  for (let at = 0; at < cases; at++) {
    const seed = SEED + at;
    try {
      one(new Chance(seed));
    } catch (error) {
      throw new Error(`the case with RFB_FUZZ_SEED=${seed} RFB_FUZZ_CASES=1 failed`, { cause: error });
    }
  }
}

/** Whether it threw what it may throw. */
function refused(run: () => void): boolean {
  try {
    run();
    return false;
  } catch (error) {
    if (error instanceof RfbError) return true;
    throw error;
  }
}

// Assertions of vitest cost more than what is asserted.
function assert(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

const { watch, input, clipboard, never } = VIEWER_MESSAGES;
/** Encodings, with that of the extended clipboard among them. */
const ENCODINGS = Buffer.from([2, 0, 0, 3, 0, 0, 0, 7, 0xc0, 0xa1, 0xe5, 0xce, 0, 0, 0, 0]);
const FROM_VIEWER = [...watch, ENCODINGS, ...input, ...input, ...clipboard, ...never];
/** More than one piece of it. */
const LONG_TEXT = Buffer.concat([Buffer.from([6, 0, 0, 0, 0, 0, 0x9c, 0x40]), Buffer.alloc(40_000, 4)]);

/** What a viewer says: mostly led in, mostly messages that there are, and some that nearly are. */
function viewerBytes(chance: Chance): Buffer {
  const hello = chance.once(20) ? chance.mutated(HELLO) : HELLO;
  const wild = chance.once(2);
  const messages = chance.list(8, () => {
    if (wild && chance.once(8)) return chance.noise(30);
    if (chance.once(500)) return LONG_TEXT;
    const message = chance.of(FROM_VIEWER);
    return wild && chance.once(3) ? chance.mutated(message) : message;
  });
  return Buffer.concat([hello, ...messages]);
}

function viewer(rights: () => { input: boolean; clipboard: boolean }) {
  const up: Buffer[] = [];
  const counts = { keys: 0, pointers: 0, cut_texts: 0 };
  const made = new Viewer({
    serverInit: SERVER_INIT,
    rights,
    counts,
    toViewer: () => undefined,
    toScreen: (bytes) => void up.push(Buffer.from(bytes)),
    onWelcome: () => undefined,
    onPixels: () => undefined,
  });
  const push = (bytes: Buffer) => {
    made.push(bytes);
    assert(made.held <= MAX_HELD_OF_VIEWER, `the viewer's ${made.held} bytes are held`);
  };
  return { made, push, counts, up: () => Buffer.concat(up) };
}

/** The messages in what went to a screen; only a text of the clipboard may lack its end. */
function messagesIn(bytes: Buffer): Buffer[] {
  const messages: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const rest = bytes.subarray(at);
    const length = lengthOf(rest);
    assert(length <= rest.length || rest[0] === 6, `a message of type ${rest[0]} lacks its end`);
    messages.push(rest.subarray(0, length));
    at += length;
  }
  return messages;
}

function lengthOf(message: Buffer): number {
  switch (message.readUInt8(0)) {
    case 0:
      return 20;
    case 2:
      return 4 + message.readUInt16BE(2) * 4;
    case 3:
    case 150:
      return 10;
    case 4:
      return 8;
    case 5:
      return 6;
    case 6:
      return 8 + Math.abs(message.readInt32BE(4));
    case 248:
      return 9 + message.readUInt8(8);
    case 251:
      return 8 + message.readUInt8(6) * 16;
    case 255:
      return 12;
    default:
      throw new Error(`a message of type ${message[0]} went to the screen`);
  }
}

const encodingsOf = (message: Buffer) =>
  Array.from({ length: message.readUInt16BE(2) }, (_, at) => message.readInt32BE(4 + at * 4));
const WATCHED = new Set([0, 2, 3, 150, 248]);

describe("fuzzed", { timeout: 60_000 + CASES }, () => {
  it("a viewer that may only watch brings no key, no pointer and no text to the screen", () => {
    fuzz(0.25, (chance) => {
      const bytes = viewerBytes(chance);
      const watcher = viewer(() => ({ input: false, clipboard: false }));
      refused(() => chance.pieces(bytes).forEach(watcher.push));
      for (const message of messagesIn(watcher.up())) {
        assert(WATCHED.has(message.readUInt8(0)), `type ${message[0]} passed`);
        const asksForTexts = message[0] === 2 && encodingsOf(message).includes(ENCODING.EXTENDED_CLIPBOARD);
        assert(!asksForTexts, "the extended clipboard was asked for");
      }
      assert(
        Object.values(watcher.counts).every((count) => count === 0),
        "something was counted as passed",
      );
    });
  });

  it("a viewer brings what its rights allow, as whole messages, and the same in whatever pieces it comes", () => {
    fuzz(0.2, (chance) => {
      const bytes = viewerBytes(chance);
      const rights = { input: chance.once(2), clipboard: chance.once(2) };
      const [whole, cut] = [viewer(() => rights), viewer(() => rights)];
      const ends = [refused(() => whole.push(bytes)), refused(() => chance.pieces(bytes).forEach(cut.push))];
      assert(ends[0] === ends[1], "pieces are refused and the whole is not, or the other way");
      // A text of which some is here may go in parts.
      assert(whole.up().equals(cut.up()), "pieces bring something else than the whole");
      const types = new Set(messagesIn(whole.up()).map((message) => message[0]));
      if (!rights.input) for (const type of [4, 5, 6, 251, 255]) assert(!types.has(type), `type ${type} passed`);
      if (!rights.clipboard) assert(!types.has(6), "a text passed");
    });
  });

  it("a viewer that loses and gets control at any byte leaves whole messages, and no key down", () => {
    fuzz(0.15, (chance) => {
      let input = true;
      const one = viewer(() => ({ input, clipboard: true }));
      refused(() => {
        for (const piece of chance.pieces(viewerBytes(chance))) {
          one.push(piece);
          if (!chance.once(3)) continue;
          input = !input;
          if (!input) one.made.letGo();
        }
      });
      one.made.letGo();
      const messages = messagesIn(one.up());
      const down = new Set<string>();
      const note = (key: string, pressed: boolean) => (pressed ? down.add(key) : down.delete(key));
      for (const message of messages) {
        if (message[0] === 4) note(`key ${message.readUInt32BE(4)}`, message[1] !== 0);
        if (message[0] === 5) note("pointer", message[1] !== 0);
        if (message[0] === 255) note(`scancode ${message.readUInt32BE(8)}`, message.readUInt16BE(2) !== 0);
      }
      const last = messages.at(-1);
      const midway = last !== undefined && lengthOf(last) > last.length;
      assert(midway || down.size === 0, `${[...down]} stays down`);
    });
  });

  it("a screen is followed or refused, with the same to the viewer in whatever pieces, and no text without the right", () => {
    const messages = Object.values(MESSAGES).filter((message) => message.length < 2000);
    fuzz(0.2, (chance) => {
      const wild = chance.once(2);
      const list = chance.list(8, () => {
        if (wild && chance.once(8)) return chance.noise(40);
        const message = chance.once(3) ? chance.of(TEXTS) : chance.of(messages);
        return wild && chance.once(3) ? chance.mutated(message) : message;
      });
      const bytes = Buffer.concat(list);
      const follow = (pieces: Buffer[]) => {
        const screen = new ScreenMessages(PIXELS, () => false);
        const passed: Buffer[] = [];
        const end = refused(() => {
          for (const piece of pieces) {
            passed.push(...screen.push(piece));
            assert(screen.held <= MAX_HELD_OF_SCREEN, `the screen's ${screen.held} bytes are held`);
          }
        });
        return { end, passed: Buffer.concat(passed) };
      };
      const [whole, cut] = [follow([bytes]), follow(chance.pieces(bytes))];
      assert(whole.end === cut.end, "pieces are refused and the whole is not, or the other way");
      assert(whole.end || whole.passed.equals(cut.passed), "pieces bring something else than the whole");
      if (wild) return;
      const wanted = Buffer.concat(list.filter((message) => !(TEXTS as readonly Buffer[]).includes(message)));
      assert(!whole.end && whole.passed.equals(wanted), "the viewer has not all but the texts");
    });
  });

  it("a VNC server is logged in to or refused, and hears no secret outside of TLS that is not encrypted", () => {
    const secret = "pass-word";
    const u32 = (...list: number[]) =>
      Buffer.from(list.flatMap((one) => [one >>> 24, (one >> 16) & 255, (one >> 8) & 255, one & 255]));
    const vencrypt = (...types: number[]) => [
      Buffer.from([0, 2]),
      Buffer.from([0, types.length]),
      u32(...types),
      Buffer.from([1]),
    ];
    const flows: Buffer[][] = [
      [Buffer.from([1, 1]), u32(0)],
      [Buffer.from([3, 5, 2, 1]), Buffer.alloc(16, 9), u32(0)],
      [Buffer.from([2, 19, 2]), ...vencrypt(256, 262, 259), u32(0)],
      [Buffer.from([1, 19]), ...vencrypt(258), Buffer.alloc(16, 9), u32(0)],
      [Buffer.from([1, 19]), ...vencrypt(257), u32(0)],
      [Buffer.from([0]), u32(5), Buffer.from("never")],
      [Buffer.from([1, 1]), u32(1, 5), Buffer.from("never")],
      [u32(1)],
      [u32(2), Buffer.alloc(16, 9), u32(0)],
    ];
    const greetings = [GREETING, GREETING, GREETING, "RFB 003.007\n", "RFB 003.003\n"].map((text) => Buffer.from(text));
    let led = 0;
    fuzz(0.1, (chance) => {
      const wild = chance.once(2);
      const parts = [chance.of(greetings), ...chance.of(flows), SERVER_INIT];
      const bytes = Buffer.concat(parts.map((part) => (wild && chance.once(4) ? chance.mutated(part) : part)));
      const password = chance.once(3) ? null : secret;
      const sent: Buffer[] = [];
      let tls = false;
      function* lead(): Reading<void> {
        yield* login({
          username: chance.once(2) ? "me" : null,
          password,
          send: (one) => {
            sent.push(one);
            assert(tls || !one.includes(secret), "the password goes as it is");
          },
          startTls: () => {
            tls = true;
          },
        });
        led += 1;
      }
      const feed = new ByteFeed(lead());
      refused(() => {
        for (const piece of chance.pieces(bytes)) {
          if (feed.ended) break;
          feed.push(piece);
          assert(
            feed.ended || feed.rest.length <= MAX_HELD_OF_LOGIN,
            `the screen's ${feed.rest.length} bytes are held`,
          );
        }
      });
      assert(Buffer.concat(sent).length <= MAX_SENT_AT_LOGIN, "so much is not said at a login");
    });
    if (CASES >= MANY) expect(led).toBeGreaterThan(0);
  });

  it("a page's text is understood, ignored or refused, and one answer at most is on its way", () => {
    const texts = ['{"t":"ping","at":17.5}', '{"t":"ask"}', '{"t":"give","to":3}', '{"t":"take"}', '{"t":"drop"}'];
    const strange = [
      '{"t":"new","x":[{}]}',
      '{"t":"__proto__"}',
      '{"t":["ping"]}',
      '{"t":"give","to":1e99}',
      "[]",
      '"t"',
      "null",
      `{"t":"new","x":"${"x".repeat(300)}"}`,
    ];
    let orders = 0;
    fuzz(0.1, (chance) => {
      let answers = 0;
      const page = new PageText(() => {
        orders += 1;
      });
      page.open(() => {
        answers += 1;
      });
      for (const text of chance.list(6, () => chance.of(chance.once(3) ? strange : texts))) {
        const bytes = chance.once(2) ? chance.mutated(Buffer.from(text)) : Buffer.from(text);
        const bad = refused(() => page.hear(bytes));
        if (bytes.length > MAX_PAGE_TEXT_BYTES) assert(bad, "a text is too long");
        if (bad) break;
        const said = readPage(bytes);
        if (said?.t === "give") assert(Number.isSafeInteger(said.to), "a person's number is none");
      }
      assert(answers <= 1, `${answers} answers are on their way`);
    });
    if (CASES >= MANY) expect(orders).toBeGreaterThan(0);
  });
});
