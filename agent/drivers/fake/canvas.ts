/** Pixels to draw on: filled rectangles and text, each clipped, each told to `onDamage`. */
import { intersect, type Rect } from "./damage.ts";
import { GLYPH_HEIGHT, GLYPH_WIDTH, glyph } from "./font.ts";

/** A picture: one 0x00RRGGBB number a pixel, row by row from the top left. */
export type Picture = { width: number; height: number; pixels: Uint32Array };

export type Scale = 1 | 2 | 4;
export type TextStyle = { color: number; scale: Scale };

/** How far apart characters and lines are at a scale, in pixels. */
export function cell(scale: Scale): { width: number; height: number } {
  return { width: (GLYPH_WIDTH + 1) * scale, height: (GLYPH_HEIGHT + 2) * scale };
}

export class Canvas implements Picture {
  readonly width: number;
  readonly height: number;
  readonly pixels: Uint32Array;
  readonly #onDamage: (rect: Rect) => void;

  constructor(width: number, height: number, onDamage: (rect: Rect) => void) {
    this.width = width;
    this.height = height;
    this.pixels = new Uint32Array(width * height);
    this.#onDamage = onDamage;
  }

  fill(rect: Rect, color: number): void {
    const inside = intersect(rect, { x: 0, y: 0, width: this.width, height: this.height });
    if (!inside) return;
    for (let y = inside.y; y < inside.y + inside.height; y++) {
      const start = y * this.width + inside.x;
      this.pixels.fill(color, start, start + inside.width);
    }
    this.#onDamage(inside);
  }

  /** A one-pixel line around a rectangle. */
  outline(rect: Rect, color: number): void {
    const { x, y, width, height } = rect;
    this.fill({ x, y, width, height: 1 }, color);
    this.fill({ x, y: y + height - 1, width, height: 1 }, color);
    this.fill({ x, y, width: 1, height }, color);
    this.fill({ x: x + width - 1, y, width: 1, height }, color);
  }

  /** Draws the characters of `text` over what is there, the top left of the first one at `x`, `y`. */
  text(x: number, y: number, text: string, { color, scale }: TextStyle): void {
    const step = cell(scale).width;
    let left = x;
    for (const char of text) {
      const { width, height, bits } = glyph(char.codePointAt(0) ?? 0, scale);
      for (let row = 0; row < height; row++) {
        for (let column = 0; column < width; column++) {
          if (bits[row * width + column] === 1) this.dot(left + column, y + row, color);
        }
      }
      left += step;
    }
    const drawn = intersect(
      { x, y, width: left - x, height: GLYPH_HEIGHT * scale },
      { x: 0, y: 0, width: this.width, height: this.height },
    );
    if (drawn) this.#onDamage(drawn);
  }

  /** One pixel, which is not told to `onDamage`. */
  dot(x: number, y: number, color: number): void {
    if (x >= 0 && x < this.width && y >= 0 && y < this.height) this.pixels[y * this.width + x] = color;
  }
}
