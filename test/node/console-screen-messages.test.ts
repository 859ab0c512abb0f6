import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ScreenMessages } from "../../agent/console/screen-messages.ts";
import { RfbError } from "../../agent/rfb/rfb-error.ts";

const PIXELS = { raw: 4, tight: 3 } as const;
const u8 = (...list: number[]) => Buffer.from(list);
const u16 = (...list: number[]) => Buffer.from(list.flatMap((one) => [(one >> 8) & 255, one & 255]));
const u32 = (one: number) => Buffer.concat([u16(one >>> 16), u16(one & 0xffff)]);
const some = (length: number) => Buffer.alloc(length, 3);

/** One rectangle: `size` is width and height. */
const rect = (encoding: number, size: [number, number], data: Buffer) =>
  Buffer.concat([u16(0, 0, ...size), u32(encoding >>> 0), data]);
const update = (...rects: Buffer[]) => Buffer.concat([u8(0, 0), u16(rects.length), ...rects]);
const compact = (length: number) =>
  length < 128
    ? u8(length)
    : length < 16_384
      ? u8((length & 127) | 128, length >> 7)
      : u8((length & 127) | 128, ((length >> 7) & 127) | 128, length >> 14);

const RECTS: Record<string, Buffer<ArrayBuffer>> = {
  raw: rect(0, [5, 3], some(60)),
  "raw of nothing": rect(0, [0, 0], some(0)),
  copy: rect(1, [5, 3], some(4)),
  zlib: rect(6, [5, 3], Buffer.concat([u32(9), some(9)])),
  zrle: rect(16, [64, 64], Buffer.concat([u32(300), some(300)])),
  "tight fill": rect(7, [5, 3], Buffer.concat([u8(0x80), some(3)])),
  "tight jpeg": rect(7, [64, 64], Buffer.concat([u8(0x90), compact(20_000), some(20_000)])),
  "tight png": rect(-260, [64, 64], Buffer.concat([u8(0xa0), compact(200), some(200)])),
  "tight copy": rect(7, [5, 3], Buffer.concat([u8(0x00), compact(17), some(17)])),
  "tight copy, short": rect(7, [3, 1], Buffer.concat([u8(0x0f), some(9)])),
  "tight gradient": rect(7, [5, 3], Buffer.concat([u8(0x40, 2), compact(17), some(17)])),
  "tight two colours": rect(7, [17, 2], Buffer.concat([u8(0x40, 1, 1), some(6), some(6)])),
  "tight two colours, long": rect(7, [17, 9], Buffer.concat([u8(0x50, 1, 1), some(6), compact(11), some(11)])),
  "tight palette": rect(7, [5, 3], Buffer.concat([u8(0x60, 1, 3), some(12), compact(5), some(5)])),
  cursor: rect(-239, [10, 4], some(160 + 8)),
  "x cursor": rect(-240, [10, 4], some(6 + 16)),
  "no x cursor": rect(-240, [0, 0], some(0)),
  size: rect(-223, [800, 600], some(0)),
  "extended size": rect(-308, [800, 600], Buffer.concat([u8(2, 0, 0, 0), some(32)])),
  name: rect(-307, [0, 0], Buffer.concat([u32(6), some(6)])),
  "qemu keys": rect(-258, [0, 0], some(0)),
  "qemu pointer": rect(-257, [1, 0], some(0)),
  led: rect(-261, [0, 0], some(1)),
};
const cut = (text: string, sign = 1) =>
  Buffer.concat([u8(3, 0, 0, 0), u32((sign * text.length) >>> 0), Buffer.from(text)]);
const MESSAGES: Record<string, Buffer<ArrayBuffer>> = {
  ...Object.fromEntries(Object.entries(RECTS).map(([name, one]) => [name, update(one)])),
  "all of them": update(...Object.values(RECTS)),
  "an update of nothing": update(),
  "an update without end": Buffer.concat([u8(0, 0), u16(0xffff), RECTS.raw!, RECTS.copy!, rect(-224, [0, 0], some(0))]),
  colours: Buffer.concat([u8(1, 0), u16(0, 3), some(18)]),
  bell: u8(2),
  "end of continuous updates": u8(150),
  fence: Buffer.concat([u8(248, 0, 0, 0), u32(1), u8(5), some(5)]),
  xvp: u8(250, 0, 1, 1),
};
const TEXTS = [cut("secret"), cut("", 1), cut("extended", -1)];

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
