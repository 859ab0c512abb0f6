/** Which parts of a screen one client has not seen yet. */

/** Pixels from `x`, `y` (top left is 0, 0), `width` to the right and `height` down. */
export type Rect = { x: number; y: number; width: number; height: number };

/** Above this many rectangles an update costs more in headers than it saves in pixels. */
const MAX_RECTS = 24;
/** Two rectangles become one when that adds no more than this many pixels. */
const MERGE_WASTE_PIXELS = 512;

/** What two rectangles share; null when that is nothing. */
export function intersect(a: Rect, b: Rect): Rect | null {
  const x = Math.max(a.x, b.x);
  const y = Math.max(a.y, b.y);
  const width = Math.min(a.x + a.width, b.x + b.width) - x;
  const height = Math.min(a.y + a.height, b.y + b.height) - y;
  return width > 0 && height > 0 ? { x, y, width, height } : null;
}

/** The smallest rectangle around both. */
export function around(a: Rect, b: Rect): Rect {
  const x = Math.min(a.x, b.x);
  const y = Math.min(a.y, b.y);
  return {
    x,
    y,
    width: Math.max(a.x + a.width, b.x + b.width) - x,
    height: Math.max(a.y + a.height, b.y + b.height) - y,
  };
}

/** A bounded set of rectangles that covers at least all that was added to it. */
export class Damage {
  #rects: Rect[] = [];

  add(rect: Rect): void {
    let grown = rect;
    for (let i = 0; i < this.#rects.length; ) {
      const other = this.#rects[i];
      const both = other && around(grown, other);
      if (other && both && area(both) <= area(grown) + area(other) + MERGE_WASTE_PIXELS) {
        grown = both;
        this.#rects.splice(i, 1);
        i = 0;
      } else {
        i++;
      }
    }
    this.#rects.push(grown);
    if (this.#rects.length > MAX_RECTS) this.#rects = [this.#rects.reduce(around)];
  }

  /** Takes out what lies in `wanted`; what lies outside of it stays. */
  take(wanted: Rect): Rect[] {
    const taken: Rect[] = [];
    const kept: Rect[] = [];
    for (const rect of this.#rects) {
      const inside = intersect(rect, wanted);
      if (inside) taken.push(inside);
      kept.push(...(inside ? without(rect, inside) : [rect]));
    }
    this.#rects = kept;
    return taken;
  }
}

/** What is left of a rectangle, in up to four, when a rectangle inside it is cut out. */
function without({ x, y, width, height }: Rect, hole: Rect): Rect[] {
  const right = hole.x + hole.width;
  const bottom = hole.y + hole.height;
  const sides = [
    { x, y, width, height: hole.y - y },
    { x, y: bottom, width, height: y + height - bottom },
    { x, y: hole.y, width: hole.x - x, height: hole.height },
    { x: right, y: hole.y, width: x + width - right, height: hole.height },
  ];
  return sides.filter((side) => area(side) > 0);
}

function area(rect: Rect): number {
  return rect.width * rect.height;
}
