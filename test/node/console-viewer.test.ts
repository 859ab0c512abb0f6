import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MAX_CUT_TEXT_BYTES, Viewer } from "../../agent/console/viewer.ts";
import { RfbError } from "../../agent/rfb/rfb-error.ts";
import type { ConsoleRights } from "../../functions/protocol/methods.ts";
import { HELLO, SERVER_INIT, VIEWER_MESSAGES, WELCOME } from "../rfb-peers.ts";

const ALL = { input: true, clipboard: true };
const WATCH = { input: false, clipboard: false };

function viewer(rights: ConsoleRights | (() => ConsoleRights) = ALL) {
  const up: Buffer[] = [];
  const down: Buffer[] = [];
  const counts = { keys: 0, pointers: 0, cut_texts: 0 };
  const made = new Viewer({
    serverInit: SERVER_INIT,
    rights: typeof rights === "function" ? rights : () => rights,
    counts,
    toViewer: (bytes) => void down.push(Buffer.from(bytes)),
    toScreen: (bytes) => void up.push(Buffer.from(bytes)),
    onWelcome: () => undefined,
    onPixels: () => undefined,
  });
  return { made, counts, up: () => Buffer.concat(up), down: () => Buffer.concat(down) };
}

function welcomed(rights: ConsoleRights | (() => ConsoleRights) = ALL) {
  const one = viewer(rights);
  one.made.push(HELLO);
  return one;
}

const { watch, input, clipboard, never } = VIEWER_MESSAGES;
const every = Buffer.concat([...watch, ...input, ...clipboard, ...never]);

describe("a viewer", () => {
  it.each([
    ["RFB 003.003\n", "RFB 003.008\n\0\0\0\x01", ""],
    ["RFB 003.005\n", "RFB 003.008\n\0\0\0\x01", ""],
    ["RFB 003.007\n", "RFB 003.008\n\x01\x01", "\x01"],
    ["RFB 003.008\n", "RFB 003.008\n\x01\x01\0\0\0\0", "\x01"],
    ["RFB 003.889\n", "RFB 003.008\n\x01\x01\0\0\0\0", "\x01"],
  ])("that says %j is led in", (version, lead, choice) => {
    const { made, down, up } = viewer();
    made.push(Buffer.from(`${version}${choice}\x00`, "latin1"));
    expect(down().toString("latin1")).toBe(lead + SERVER_INIT.toString("latin1"));
    expect(up()).toHaveLength(0);
  });

  it.each([
    ["GET / HTTP/1", /speaks no RFB/],
    ["RFB 003.008\n\x02", /security type 2 was not offered/],
  ])("that says %j is sent away", (said, why) => {
    expect(() => viewer().made.push(Buffer.from(said, "latin1"))).toThrow(why);
  });

  it("with all rights reaches the screen with all it says, but for XVP's orders", () => {
    const { made, counts, up } = welcomed();
    made.push(every);
    expect(up()).toEqual(Buffer.concat([...watch, ...input, ...clipboard]));
    expect(counts).toEqual({ keys: 2, pointers: 1, cut_texts: 2 });
  });

  it.each([
    ["watch only", WATCH, watch],
    ["no clipboard", { input: true, clipboard: false }, [...watch, ...input]],
    // A text of the clipboard is typed as much as a key is.
    ["no input", { input: false, clipboard: true }, watch],
  ])("whose rights are %s reaches it with nothing else, wherever its bytes are cut", (_, rights, passes) => {
    const expected = Buffer.concat(passes);
    for (let cut = 0; cut <= every.length; cut++) {
      const { made, up } = welcomed(rights);
      made.push(every.subarray(0, cut));
      made.push(every.subarray(cut));
      expect(up()).toEqual(expected);
    }
    const { made, up, down } = viewer(rights);
    for (const byte of Buffer.concat([HELLO, every])) made.push(Buffer.from([byte]));
    expect(up()).toEqual(expected);
    expect(down()).toEqual(WELCOME);
  });

  it("whose rights change in the middle of a message has said the whole of it", () => {
    let rights = ALL;
    const { made, up } = welcomed(() => rights);
    const [text = Buffer.alloc(0)] = clipboard;
    made.push(text.subarray(0, 10));
    rights = WATCH;
    made.push(Buffer.concat([text.subarray(10), ...input]));
    expect(up()).toEqual(text);
  });

  it("is asked for encodings that can be followed only, and for no extended clipboard without the right to one", () => {
    const asked = [7, 5, 16, 1, 0, -239, -223, -224, -258, -316, -308, -27, -254, 0xc0a1e5ce | 0, 21, 50];
    const body = Buffer.alloc(asked.length * 4);
    for (const [at, one] of asked.entries()) body.writeInt32BE(one, at * 4);
    const message = Buffer.concat([Buffer.from([2, 0, 0, asked.length]), body]);
    const read = (bytes: Buffer) =>
      Array.from({ length: bytes.readUInt16BE(2) }, (_, at) => bytes.readInt32BE(4 + at * 4));
    const { made, up } = welcomed();
    made.push(message);
    const kept = [7, 16, 1, 0, -239, -223, -224, -258, -308, -27, -254, 0xc0a1e5ce | 0];
    expect(read(up())).toEqual(kept);
    const watcher = welcomed(WATCH);
    watcher.made.push(message);
    expect(read(watcher.up())).toEqual(kept.slice(0, -1));
  });

  it("loses a text that is too long, and nothing else", () => {
    const { made, up } = welcomed();
    const head = Buffer.from([6, 0, 0, 0, 0, 0, 0, 0]);
    head.writeUInt32BE(MAX_CUT_TEXT_BYTES + 1, 4);
    made.push(Buffer.concat([head, Buffer.alloc(MAX_CUT_TEXT_BYTES + 1, 4), ...input]));
    expect(up()).toEqual(Buffer.concat([...input]));
  });

  it.each([
    ["an unknown message", Buffer.from([9])],
    ["audio of QEMU", Buffer.from([255, 1])],
    ["10,000 encodings", Buffer.from([2, 0, 39, 16])],
    ["a fence that is too long", Buffer.from([248, 0, 0, 0, 0, 0, 0, 1, 65])],
    ["pixels that there are not", Buffer.alloc(20)],
    ["other pixels in the middle", Buffer.concat([watch[2], watch[0]])],
  ])("is sent away for %s", (_, bytes) => {
    expect(() => welcomed().made.push(bytes)).toThrow(RfbError);
  });

  it("that may only watch changes nothing, whatever it sends", () => {
    const message = fc.oneof(
      fc.constantFrom(...watch, ...input, ...clipboard, ...never),
      fc.uint8Array({ maxLength: 40 }).map((some) => Buffer.from(some)),
    );
    const cuts = fc.array(fc.nat(64), { maxLength: 20 });
    const harmless = new Set([0, 2, 3, 150, 248]);
    fc.assert(
      fc.property(fc.array(message, { maxLength: 30 }), cuts, (messages, sizes) => {
        const passed: Buffer[] = [];
        const counts = { keys: 0, pointers: 0, cut_texts: 0 };
        const one = new Viewer({
          serverInit: SERVER_INIT,
          rights: () => WATCH,
          counts,
          toViewer: () => undefined,
          toScreen: (bytes) => void passed.push(bytes),
          onWelcome: () => undefined,
          onPixels: () => undefined,
        });
        let rest = Buffer.concat([HELLO, ...messages]);
        try {
          for (const size of sizes) {
            one.push(rest.subarray(0, size));
            rest = rest.subarray(size);
          }
          one.push(rest);
        } catch (error) {
          if (!(error instanceof RfbError)) throw error;
        }
        return passed.every((bytes) => harmless.has(bytes.readUInt8(0))) && counts.keys + counts.pointers === 0;
      }),
      { numRuns: 5000 },
    );
  });
});
