/** The value that `share` (0 to 1) of the values do not exceed: the nearest rank. NaN when there are none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))] ?? Number.NaN;
}

/** Runs `task` `count` times, `width` at a time; returns each run's milliseconds and the whole's seconds. */
export async function timed(
  count: number,
  width: number,
  task: (index: number) => Promise<unknown>,
): Promise<{ ms: number[]; seconds: number }> {
  const ms: number[] = [];
  let next = 0;
  const lane = async () => {
    while (next < count) {
      const index = next++;
      const startedMs = performance.now();
      await task(index);
      ms.push(performance.now() - startedMs);
    }
  };
  const startedMs = performance.now();
  await Promise.all(Array.from({ length: width }, lane));
  return { ms, seconds: (performance.now() - startedMs) / 1000 };
}
