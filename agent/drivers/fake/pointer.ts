/** The mouse pointer as an arrow above the picture: what it covers is kept, and put back when it moves. */
import type { Picture } from "./canvas.ts";
import { intersect, type Rect } from "./damage.ts";

const ARROW = [
  "#..........",
  "##.........",
  "#o#........",
  "#oo#.......",
  "#ooo#......",
  "#oooo#.....",
  "#ooooo#....",
  "#oooooo#...",
  "#ooooooo#..",
  "#oooooooo#.",
  "#ooooo#####",
  "#oo#oo#....",
  "#o#.#oo#...",
  "##..#oo#...",
  "#....#oo#..",
  ".....#oo#..",
  "......##...",
] as const;
const EDGE = 0x0b0f17;
const INSIDE = 0xffffff;

export class Pointer {
  x: number;
  y: number;
  buttons = 0;
  #covered: number[] | null = null;

  constructor(x: number, y: number) {
    this.x = x;
    this.y = y;
  }

  /** Where the arrow is on a picture; null when it is outside. */
  area(picture: Picture): Rect | null {
    const arrow = { x: this.x, y: this.y, width: ARROW[0].length, height: ARROW.length };
    return intersect(arrow, { x: 0, y: 0, width: picture.width, height: picture.height });
  }

  show(picture: Picture): void {
    const { width, pixels } = picture;
    this.#covered = [];
    for (const at of this.#offsets(picture)) this.#covered.push(pixels[at] ?? 0);
    for (const [row, line] of ARROW.entries()) {
      for (const [column, dot] of [...line].entries()) {
        const inside = this.x + column < width && this.y + row < picture.height;
        if (dot === "." || !inside) continue;
        pixels[(this.y + row) * width + this.x + column] = dot === "o" ? INSIDE : EDGE;
      }
    }
  }

  /** Undoes `show`. Has to be called before anything else is drawn, and before the pointer is moved. */
  hide(picture: Picture): void {
    const covered = this.#covered;
    if (!covered) return;
    let next = 0;
    for (const at of this.#offsets(picture)) picture.pixels[at] = covered[next++] ?? 0;
    this.#covered = null;
  }

  *#offsets(picture: Picture): Generator<number> {
    const area = this.area(picture);
    if (!area) return;
    for (let y = area.y; y < area.y + area.height; y++) {
      for (let x = area.x; x < area.x + area.width; x++) yield y * picture.width + x;
    }
  }
}
