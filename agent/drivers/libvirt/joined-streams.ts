/** Two streams as one: what comes from either goes to the other, and so does its end. */
import type { Duplex } from "node:stream";

/** What ends in the middle ends the other. What comes from `a` goes by `through`, whose failure ends both. */
export function joinStreams(a: Duplex, b: Duplex, through?: Duplex): void {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.on("error", () => to.destroy());
    from.once("close", () => {
      // What it sent before its end is still on its way to the other.
      if (!from.readableEnded) to.destroy();
    });
  }
  b.once("close", () => through?.destroy());
  through?.on("error", () => {
    a.destroy();
    b.destroy();
  });
  if (through) a.pipe(through).pipe(b);
  else a.pipe(b);
  b.pipe(a);
}
