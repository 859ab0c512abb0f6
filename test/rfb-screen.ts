/** The picture that an RFB client in a test has received. */
import type { PixelFormat } from "../agent/drivers/fake/pixel-format.ts";

export type Rect = { x: number; y: number; width: number; height: number };

/** What the server has sent so far: `rgba` has 4 bytes a pixel, alpha 255 where something was drawn. */
export class RfbScreen {
  readonly width: number;
  readonly height: number;
  readonly name: string;
  readonly rgba: Buffer;
  /** Rectangles drawn so far. */
  rects = 0;

  constructor(width: number, height: number, name: string) {
    this.width = width;
    this.height = height;
    this.name = name;
    this.rgba = Buffer.alloc(width * height * 4);
  }

  /** One pixel as 0xRRGGBB. */
  rgb(x: number, y: number): number {
    return this.rgba.readUInt32BE((y * this.width + x) * 4) >>> 8;
  }

  /** The bytes of an area, to compare with another time or another client. */
  area(x: number, y: number, width: number, height: number): Buffer {
    const rows = Array.from({ length: height }, (_, row) => {
      const start = ((y + row) * this.width + x) * 4;
      return this.rgba.subarray(start, start + width * 4);
    });
    return Buffer.concat(rows);
  }

  /** Raw (RFC 6143 §7.7.1) in any true-colour format. */
  drawRaw(rect: Rect, data: Buffer, format: PixelFormat): void {
    this.rects++;
    const size = format.bitsPerPixel / 8;
    const level = (pixel: number, shift: number, max: number) => Math.round((((pixel >>> shift) & max) * 255) / max);
    for (let i = 0; i < rect.width * rect.height; i++) {
      const pixel = format.bigEndian ? data.readUIntBE(i * size, size) : data.readUIntLE(i * size, size);
      const red = level(pixel, format.redShift, format.redMax);
      const green = level(pixel, format.greenShift, format.greenMax);
      this.#dot(rect, i, [red, green, level(pixel, format.blueShift, format.blueMax)]);
    }
  }

  /** Inflated ZRLE (RFC 6143 §7.7.6) whose CPIXELs are red, green, blue; solid, packed palette and raw tiles only. */
  drawZrle(rect: Rect, data: Buffer): void {
    this.rects++;
    let at = 0;
    for (let y = rect.y; y < rect.y + rect.height; y += 64) {
      for (let x = rect.x; x < rect.x + rect.width; x += 64) {
        const width = Math.min(64, rect.x + rect.width - x);
        const height = Math.min(64, rect.y + rect.height - y);
        at += this.#drawTile({ x, y, width, height }, data.subarray(at));
      }
    }
    if (at !== data.length) throw new Error(`ZRLE rectangle is ${data.length - at} bytes longer than its tiles`);
  }

  /** Returns the bytes that the tile took. */
  #drawTile(tile: Rect, data: Buffer): number {
    const kind = data.readUInt8(0);
    if (kind > 16) throw new Error(`ZRLE tile of kind ${kind}`);
    const pixels = tile.width * tile.height;
    const colors = kind || pixels;
    const bits = kind < 2 ? 0 : kind === 2 ? 1 : kind <= 4 ? 2 : 4;
    const stride = Math.ceil((tile.width * bits) / 8);
    const packed = 1 + colors * 3;
    for (let i = 0; i < pixels; i++) {
      const bit = (i % tile.width) * bits;
      const byte = data[packed + Math.floor(i / tile.width) * stride + (bit >> 3)] ?? 0;
      const index = kind === 0 ? i : (byte >> (8 - bits - (bit & 7))) & ((1 << bits) - 1);
      this.#dot(tile, i, data.subarray(1 + index * 3, 4 + index * 3));
    }
    return packed + stride * tile.height;
  }

  #dot(rect: Rect, i: number, rgb: ArrayLike<number>): void {
    const x = rect.x + (i % rect.width);
    const y = rect.y + Math.floor(i / rect.width);
    const at = (y * this.width + x) * 4;
    this.rgba.set(rgb, at);
    this.rgba[at + 3] = 255;
  }
}
