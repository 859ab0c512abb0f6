/** What one bench of the console path is. */
import { percentile } from "./statistics.ts";
import type { Ground, Target } from "./target.ts";

/**
 * `value` is NaN where a target has no such thing; `aim` is what this project wants of its own path, as text; `note` is
 * said below the table.
 */
export type Measure = {
  what: string;
  value: number;
  unit: "ms" | "MiB" | "KiB" | "MiB/s" | "ms/GiB" | "1/s" | "%" | "";
  aim?: string;
  note?: string;
};
export type BenchOptions = { quick: boolean; ground: Ground };

export type Bench = {
  name: string;
  /** How it is measured, in one line. */
  about(quick: boolean): string;
  /** The same measures in the same order for every target. */
  run(target: Target, options: BenchOptions): Promise<Measure[]>;
};

export const MIB = 1024 * 1024;

export function percentileRows(what: string, ms: readonly number[], aim?: string): Measure[] {
  const row = (name: string, share: number): Measure => ({
    what: `${what} ${name}`,
    value: percentile(ms, share),
    unit: "ms",
    ...(aim && { aim }),
  });
  return [row("p50", 0.5), row("p99", 0.99)];
}
