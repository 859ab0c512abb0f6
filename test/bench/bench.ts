/** What one bench of the console path is. */
import { percentile } from "./statistics.ts";
import type { Ground, Target } from "./target.ts";

/** `value` is NaN where a target has no such thing; `note` is said below the table. */
export type Measure = {
  what: string;
  value: number;
  unit: "ms" | "MiB" | "KiB" | "MiB/s" | "ms/GiB" | "1/s" | "%";
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

export function percentileRows(what: string, ms: readonly number[]): Measure[] {
  return [
    { what: `${what} p50`, value: percentile(ms, 0.5), unit: "ms" },
    { what: `${what} p99`, value: percentile(ms, 0.99), unit: "ms" },
  ];
}
