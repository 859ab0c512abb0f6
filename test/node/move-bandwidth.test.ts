import fc from "fast-check";
import { expect, it } from "vitest";
import { Bandwidth } from "../../agent/move/bandwidth.ts";

it("gives no more than its rate, but for a second's worth at a time", () => {
  const takes = fc.array(fc.record({ bytes: fc.integer({ min: 1, max: 3000 }), idleMs: fc.nat(4000) }), {
    minLength: 1,
  });
  fc.assert(
    fc.property(takes, (takes) => {
      let now = 5000;
      const bandwidth = new Bandwidth(1000, () => now);
      const startedMs = now;
      let bytes = 0;
      for (const take of takes) {
        now += take.idleMs;
        now += bandwidth.take(take.bytes);
        // What goes now is allowed by what went before.
        expect(bytes).toBeLessThanOrEqual(Math.ceil(1000 + now - startedMs));
        bytes += take.bytes;
      }
    }),
  );
});

it("makes up for no more than a second in which nothing went", () => {
  let now = 0;
  const bandwidth = new Bandwidth(1000, () => now);
  now = 60_000;
  expect([bandwidth.take(1000), bandwidth.take(1000), bandwidth.take(1000)]).toEqual([0, 0, 1000]);
});

it("is no limit at 0", () => {
  expect(new Bandwidth(0).take(1e12)).toBe(0);
});
