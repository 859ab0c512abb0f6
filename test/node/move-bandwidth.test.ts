import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { expect, it } from "vitest";
import { Bandwidth, Bounded } from "../../agent/move/bandwidth.ts";

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

/** Gives leave for so many chunks as it is told to. */
class Held extends Bandwidth {
  asked = 0;
  #waiting: (() => void)[] = [];

  override wait(bytes: number): Promise<void> {
    this.asked += bytes;
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  async give(): Promise<void> {
    this.#waiting.shift()?.();
    await setImmediate();
  }
}

it("holds a stream, and takes no more of it, until it gives leave", async () => {
  const held = new Held(1);
  const bounded = new Bounded(held);
  const passed: string[] = [];
  bounded.on("data", (chunk: Buffer) => passed.push(chunk.toString()));
  for (const text of ["one", "four", "last"]) bounded.write(text);
  bounded.end();
  await setImmediate();
  expect([held.asked, passed]).toEqual([3, []]);
  await held.give();
  expect([held.asked, passed]).toEqual([7, ["one"]]);
  await held.give();
  await held.give();
  expect(passed).toEqual(["one", "four", "last"]);
  expect(bounded.readableEnded).toBe(true);
});

it("holds no stream that has ended", async () => {
  const bandwidth = new Bandwidth(1);
  bandwidth.take(1e9);
  const bounded = new Bounded(bandwidth);
  bounded.write("never");
  bounded.destroy();
  await setImmediate();
  expect(bounded.closed).toBe(true);
});
