import { describe, expect, it } from "vitest";
import { NATIVE_FORMAT, PixelCoder } from "../../agent/drivers/fake/pixel-format.ts";
import { RGBA_FORMAT } from "../rfb-client.ts";

const PICTURE = { width: 1, height: 1, pixels: Uint32Array.of(0x123456) };
const AREA = { x: 0, y: 0, width: 1, height: 1 };
const high = { ...NATIVE_FORMAT, redShift: 24, greenShift: 16, blueShift: 8 };

/** noVNC 1.3 takes the padding byte for opacity: with zeros its screen stays empty. */
describe("the byte of a pixel that holds no colour", () => {
  it.each([
    ["ours", NATIVE_FORMAT, "563412ff", "563412"],
    ["noVNC's", RGBA_FORMAT, "123456ff", "123456"],
    ["big-endian", { ...NATIVE_FORMAT, bigEndian: true }, "ff123456", "123456"],
    ["low", high, "ff563412", "563412"],
    [
      "of 16 bits",
      {
        ...NATIVE_FORMAT,
        bitsPerPixel: 16 as const,
        depth: 16,
        redMax: 31,
        redShift: 11,
        greenMax: 63,
        greenShift: 5,
        blueMax: 31,
      },
      "aa11",
      "aa11",
    ],
  ])("is full in the format %s, and left out of a compact pixel", (_name, format, raw, compact) => {
    const coder = new PixelCoder(format);
    expect(coder.raw(PICTURE, AREA).toString("hex")).toBe(raw);
    const out = Buffer.alloc(coder.compactSize);
    expect(coder.putCompact(out, 0, 0x123456)).toBe(coder.compactSize);
    expect(out.toString("hex")).toBe(compact);
  });
});
