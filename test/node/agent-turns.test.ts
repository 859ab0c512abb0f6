import { expect, it } from "vitest";
import { Slots } from "../../agent/turns.ts";

const NEVER = new AbortController().signal;

it.each([
  [0, 50, 50],
  [1, 3, 1],
  [5, 7, 5],
])("of %i slots, %i who ask at once have %i", async (slots, asking, had) => {
  const semaphore = new Slots(slots);
  const granted: (() => void)[] = [];
  const asked = Array.from({ length: asking }, async () => void granted.push(await semaphore.take(NEVER)));
  await Promise.all(asked.slice(0, had));
  expect(granted).toHaveLength(had);
  for (let given = 0; given < asking; given++) {
    granted.shift()?.();
    await Promise.all(asked.slice(0, Math.min(asking, had + given + 1)));
  }
  expect(granted).toEqual([]);
});
