import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ScreenMessages } from "../../agent/console/screen-messages.ts";
import { RfbError } from "../../agent/rfb/rfb-error.ts";
import { MESSAGES, PIXELS, rect, some, TEXTS, u8, u32, update } from "./rfb-screen-messages.ts";

function follow(pieces: Buffer[], clipboard: boolean): { passed: Buffer; between: boolean } {
  const messages = new ScreenMessages(PIXELS, () => clipboard);
  const passed = pieces.flatMap((piece) => messages.push(piece)).map((bytes) => Buffer.from(bytes));
  return { passed: Buffer.concat(passed), between: messages.between };
}

describe("what a screen sends", () => {
  it.each(Object.entries(MESSAGES))("is followed to its end: %s", (_, message) => {
    for (let end = 1; end < Math.min(message.length, 400); end++) {
      expect(follow([message.subarray(0, end)], true).between).toBe(false);
    }
    // Between two others, which are followed too.
    const bell = u8(2);
    const { passed, between } = follow([bell, message, bell], false);
    expect(between).toBe(true);
    expect(passed).toEqual(Buffer.concat([bell, message, bell]));
  });

  it("reaches a viewer without the clipboard, but for its texts, wherever it is cut", () => {
    const messages = Object.values(MESSAGES);
    const mixed = fc.array(fc.oneof(fc.constantFrom(...messages), fc.constantFrom(...TEXTS)), { maxLength: 12 });
    fc.assert(
      fc.property(mixed, fc.array(fc.integer({ min: 1, max: 300 }), { maxLength: 30 }), (list, sizes) => {
        const all = Buffer.concat(list);
        const pieces: Buffer[] = [];
        let at = 0;
        for (const size of sizes) {
          pieces.push(all.subarray(at, at + size));
          at += size;
        }
        pieces.push(all.subarray(at));
        const wanted = Buffer.concat(list.filter((one) => !TEXTS.includes(one)));
        const without = follow(pieces, false);
        const withThem = follow(pieces, true);
        return without.passed.equals(wanted) && without.between && withThem.passed.equals(all) && withThem.between;
      }),
      { numRuns: 3000 },
    );
  });

  it("is passed on in the pieces that it came in, without a copy", () => {
    const messages = new ScreenMessages(PIXELS, () => false);
    const piece = Buffer.concat(Object.values(MESSAGES));
    const [only, ...others] = messages.push(piece);
    expect(others).toHaveLength(0);
    expect([only?.buffer, only?.byteOffset, only?.length]).toEqual([piece.buffer, piece.byteOffset, piece.length]);
  });

  it.each([
    ["a message", u8(9)],
    ["an encoding", update(rect(5, [1, 1], some(1)))],
    ["a compression of Tight", update(rect(7, [1, 1], u8(0xb0)))],
    ["a filter of Tight", update(rect(7, [1, 1], u8(0x40, 3)))],
    ["a fence's length", Buffer.concat([u8(248, 0, 0, 0), u32(1), u8(65)])],
  ])("cannot be followed when %s is not known", (_, bytes) => {
    expect(() => follow([bytes], true)).toThrow(RfbError);
  });

  it("that is noise ends as RfbError or is followed, and nothing of it is held back but texts", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 50 }), { maxLength: 20 }), (noise) => {
        const messages = new ScreenMessages(PIXELS, () => true);
        try {
          for (const bytes of noise) {
            const passed = messages.push(Buffer.from(bytes));
            if (!Buffer.concat(passed).equals(Buffer.from(bytes))) return false;
          }
        } catch (error) {
          if (!(error instanceof RfbError)) throw error;
        }
        return true;
      }),
      { numRuns: 5000 },
    );
  });
});
