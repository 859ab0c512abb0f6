import fc from "fast-check";
import { expect, it } from "vitest";
import { backoff } from "../../agent/backoff.ts";

it("stays within zero and the smaller of cap and base · 2^attempt", () => {
  const unit = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  const ms = fc.integer({ min: 1, max: 1_000_000 });
  fc.assert(
    fc.property(fc.nat(10_000), ms, ms, unit, (attempt, baseMs, capMs, chance) => {
      const wait = backoff(attempt, { baseMs, capMs, random: () => chance });
      expect(Number.isSafeInteger(wait)).toBe(true);
      expect(wait).toBeGreaterThanOrEqual(0);
      expect(wait).toBeLessThan(Math.min(capMs, baseMs * 2 ** attempt) + 1);
    }),
  );
});

it("doubles its ceiling until the cap", () => {
  const ceilings = [0, 1, 2, 3, 99].map((attempt) => backoff(attempt, { baseMs: 500, capMs: 3000, random: () => 1 }));
  expect(ceilings).toEqual([500, 1000, 2000, 3000, 3000]);
});
