/** Milliseconds on the machine's own clock, which is the same in all processes (CLOCK_MONOTONIC). */
export function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
