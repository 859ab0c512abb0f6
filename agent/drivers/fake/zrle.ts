/**
 * ZRLE (RFC 6143 §7.7.6): tiles of 64x64, and one zlib stream for as long as the connection lasts.
 * Of its kinds of tile these are sent: solid, packed palette and raw. Runs are left to deflate.
 */
import { constants, createDeflate, type Deflate } from "node:zlib";
import type { Picture } from "./canvas.ts";
import type { Rect } from "./damage.ts";
import type { PixelCoder } from "./pixel-format.ts";

const TILE = 64;
const MAX_PALETTE = 16;
/** Flat colours compress at any level; 1 to 9. */
const LEVEL = 3;

/** The tiles of a rectangle before compression, left to right and top to bottom. */
export function zrleTiles(picture: Picture, rect: Rect, coder: PixelCoder): Buffer {
  const tiles = Math.ceil(rect.width / TILE) * Math.ceil(rect.height / TILE);
  const out = Buffer.allocUnsafe(tiles + rect.width * rect.height * coder.compactSize);
  let at = 0;
  for (let y = 0; y < rect.height; y += TILE) {
    for (let x = 0; x < rect.width; x += TILE) {
      const width = Math.min(TILE, rect.width - x);
      const height = Math.min(TILE, rect.height - y);
      at = writeTile(out, at, { picture, coder, tile: { x: rect.x + x, y: rect.y + y, width, height } });
    }
  }
  return out.subarray(0, at);
}

type Tile = { picture: Picture; coder: PixelCoder; tile: Rect };

/** Writes the smallest of the three kinds at `start`; returns where the next tile goes. */
function writeTile(out: Buffer, start: number, { picture, coder, tile }: Tile): number {
  const pixels = pixelsOf(picture, tile);
  const palette = paletteOf(pixels);
  const colors = palette?.size ?? 0;
  const bits = colors <= 2 ? 1 : colors <= 4 ? 2 : 4;
  const packed = colors * coder.compactSize + Math.ceil((tile.width * bits) / 8) * tile.height;
  let at = start;
  if (!palette || (colors > 1 && packed > tile.width * tile.height * coder.compactSize)) {
    out[at++] = 0;
    for (const rgb of pixels) at = coder.putCompact(out, at, rgb);
    return at;
  }
  out[at++] = colors;
  for (const rgb of palette.keys()) at = coder.putCompact(out, at, rgb);
  if (colors === 1) return at;
  let [column, byte, room] = [0, 0, 8];
  for (const rgb of pixels) {
    room -= bits;
    byte |= (palette.get(rgb) ?? 0) << room;
    column++;
    if (room === 0 || column === tile.width) {
      out[at++] = byte;
      [byte, room] = [0, 8];
    }
    if (column === tile.width) column = 0;
  }
  return at;
}

/** The colours of a tile with their numbers; null when there are more than a palette holds. */
function paletteOf(pixels: Uint32Array): Map<number, number> | null {
  const palette = new Map<number, number>();
  let last = -1;
  for (const rgb of pixels) {
    if (rgb === last) continue;
    last = rgb;
    if (palette.has(rgb)) continue;
    if (palette.size === MAX_PALETTE) return null;
    palette.set(rgb, palette.size);
  }
  return palette;
}

function pixelsOf(picture: Picture, { x, y, width, height }: Rect): Uint32Array {
  const pixels = new Uint32Array(width * height);
  for (let row = 0; row < height; row++) {
    const start = (y + row) * picture.width + x;
    pixels.set(picture.pixels.subarray(start, start + width), row * width);
  }
  return pixels;
}

/** The zlib stream of one connection. */
export class ZrleStream {
  readonly #deflate: Deflate = createDeflate({ level: LEVEL });
  #pieces: Buffer[] = [];

  #reject: (error: Error) => void = () => {};

  constructor() {
    this.#deflate.on("data", (piece: Buffer) => this.#pieces.push(piece));
    this.#deflate.on("error", (error) => this.#reject(error));
  }

  /**
   * The data of one rectangle: a length, then the tiles, compressed and flushed so that the reader has them whole.
   * One call at a time, in the order the rectangles are sent. May never resolve once `close` was called.
   */
  compress(tiles: Buffer): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#reject = reject;
      this.#deflate.write(tiles);
      this.#deflate.flush(constants.Z_SYNC_FLUSH, () => {
        const length = Buffer.alloc(4);
        length.writeUInt32BE(this.#pieces.reduce((sum, piece) => sum + piece.length, 0));
        resolve(Buffer.concat([length, ...this.#pieces]));
        this.#pieces = [];
      });
    });
  }

  close(): void {
    this.#deflate.close();
  }
}
