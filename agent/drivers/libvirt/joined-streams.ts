/** Two streams as one: what comes from either goes to the other, and so does its end. */
import type { Duplex } from "node:stream";

/** What ends in the middle ends the other. */
export function joinStreams(a: Duplex, b: Duplex): void {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.on("error", () => to.destroy());
    from.once("close", () => {
      // What it sent before its end is still on its way to the other.
      if (!from.readableEnded) to.destroy();
    });
    from.pipe(to);
  }
}
