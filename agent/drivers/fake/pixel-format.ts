/** Pixels on the wire (RFC 6143 §7.4): any true-colour format of 8, 16 or 32 bits, in either byte order. */
import { RfbError } from "../../rfb/rfb-error.ts";
import type { Picture } from "./canvas.ts";
import type { Rect } from "./damage.ts";

export type PixelFormat = {
  bitsPerPixel: 8 | 16 | 32;
  depth: number;
  bigEndian: boolean;
  redMax: number;
  greenMax: number;
  blueMax: number;
  redShift: number;
  greenShift: number;
  blueShift: number;
};

/** What the server offers: 0x00RRGGBB, little-endian. */
export const NATIVE_FORMAT: PixelFormat = {
  bitsPerPixel: 32,
  depth: 24,
  bigEndian: false,
  redMax: 255,
  greenMax: 255,
  blueMax: 255,
  redShift: 16,
  greenShift: 8,
  blueShift: 0,
};
export const PIXEL_FORMAT_BYTES = 16;

/** Reads the 16 bytes of a PIXEL_FORMAT. Throws RfbError when this server cannot send such pixels. */
export function decodePixelFormat(bytes: Buffer): PixelFormat {
  const bits = bytes.readUInt8(0);
  if (bits !== 8 && bits !== 16 && bits !== 32) throw new RfbError(`pixels of ${bits} bits are not supported`);
  if (bytes.readUInt8(3) === 0) throw new RfbError("colour maps are not supported");
  const format: PixelFormat = {
    bitsPerPixel: bits,
    depth: bytes.readUInt8(1),
    bigEndian: bytes.readUInt8(2) !== 0,
    redMax: bytes.readUInt16BE(4),
    greenMax: bytes.readUInt16BE(6),
    blueMax: bytes.readUInt16BE(8),
    redShift: bytes.readUInt8(10),
    greenShift: bytes.readUInt8(11),
    blueShift: bytes.readUInt8(12),
  };
  if (!(highest(format) < 2 ** bits)) throw new RfbError("a colour lies outside of its pixel");
  return format;
}

export function encodePixelFormat(format: PixelFormat): Buffer {
  const bytes = Buffer.alloc(PIXEL_FORMAT_BYTES);
  bytes.set([format.bitsPerPixel, format.depth, format.bigEndian ? 1 : 0, 1]);
  bytes.writeUInt16BE(format.redMax, 4);
  bytes.writeUInt16BE(format.greenMax, 6);
  bytes.writeUInt16BE(format.blueMax, 8);
  bytes.set([format.redShift, format.greenShift, format.blueShift], 10);
  return bytes;
}

/** Turns 0x00RRGGBB into the bytes that one client asked for. */
export class PixelCoder {
  /** Bytes of a PIXEL. */
  readonly size: number;
  /** Bytes of a CPIXEL (RFC 6143 §7.7.5): 3 where a 32-bit pixel leaves its top or bottom byte unused. */
  readonly compactSize: number;
  readonly #dropLow: boolean;
  /** The byte of a 32-bit pixel that holds no colour, all ones: noVNC 1.3 takes it for opacity. */
  readonly #padding: number;
  readonly #bigEndian: boolean;
  readonly #red: Uint32Array;
  readonly #green: Uint32Array;
  readonly #blue: Uint32Array;

  constructor(format: PixelFormat) {
    this.#red = levels(format.redMax, format.redShift);
    this.#green = levels(format.greenMax, format.greenShift);
    this.#blue = levels(format.blueMax, format.blueShift);
    this.#bigEndian = format.bigEndian;
    this.size = format.bitsPerPixel / 8;
    const low = highest(format) < 2 ** 24;
    const high = Math.min(format.redShift, format.greenShift, format.blueShift) >= 8;
    const compact = format.bitsPerPixel === 32 && format.depth <= 24 && (low || high);
    this.compactSize = compact ? 3 : this.size;
    this.#dropLow = compact && !low;
    if (low) this.#padding = format.bitsPerPixel === 32 ? 0xff000000 : 0;
    else this.#padding = high ? 0xff : 0;
  }

  /** Writes a PIXEL at `at`; returns where the next one goes. */
  put(out: Buffer, at: number, rgb: number): number {
    return this.#write(out, { at, value: this.#value(rgb), size: this.size });
  }

  /** Writes a CPIXEL at `at`; returns where the next one goes. */
  putCompact(out: Buffer, at: number, rgb: number): number {
    const value = this.#value(rgb);
    return this.#write(out, { at, value: this.#dropLow ? value >>> 8 : value, size: this.compactSize });
  }

  /** A rectangle in Raw encoding (RFC 6143 §7.7.1). */
  raw(picture: Picture, rect: Rect): Buffer {
    const out = Buffer.allocUnsafe(rect.width * rect.height * this.size);
    let at = 0;
    for (let y = rect.y; y < rect.y + rect.height; y++) {
      const start = y * picture.width + rect.x;
      for (let i = start; i < start + rect.width; i++) at = this.put(out, at, picture.pixels[i] ?? 0);
    }
    return out;
  }

  #value(rgb: number): number {
    const red = this.#red[(rgb >>> 16) & 255] ?? 0;
    const green = this.#green[(rgb >>> 8) & 255] ?? 0;
    const blue = this.#blue[rgb & 255] ?? 0;
    return (red | green | blue | this.#padding) >>> 0;
  }

  #write(out: Buffer, { at, value, size }: { at: number; value: number; size: number }): number {
    for (let i = 0; i < size; i++) {
      const shift = 8 * (this.#bigEndian ? size - 1 - i : i);
      out[at + i] = (value >>> shift) & 255;
    }
    return at + size;
  }
}

/** The 256 intensities of one colour, scaled to `max` and moved to their place in the pixel. */
function levels(max: number, shift: number): Uint32Array {
  return Uint32Array.from({ length: 256 }, (_, level) => Math.round((level * max) / 255) * 2 ** shift);
}

function highest(format: PixelFormat): number {
  return Math.max(
    format.redMax * 2 ** format.redShift,
    format.greenMax * 2 ** format.greenShift,
    format.blueMax * 2 ** format.blueShift,
  );
}
