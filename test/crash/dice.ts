/** Chance that can be run again: all of it comes from one seed. */

import { basename } from "node:path";
import { expect, onTestFailed } from "vitest";

export const SEED = Number(process.env.CRASH_SEED ?? Date.now() % 100_000);

/** How many cases of each kind are tried: a few in CI, all that there are at night. */
export const ROUNDS = Number(process.env.CRASH_ROUNDS ?? 4);

/** Says what is injected; `npm run test:crash` shows it, and so does a test that fails. */
export function told(line: string): void {
  console.info(`CRASH_SEED=${SEED}: ${line}`);
}

/** Ends the report of a test that fails with the line that runs it again. */
export function againIfItFails(only = ""): void {
  const file = basename(expect.getState().testPath ?? "");
  const settings = [`CRASH_SEED=${SEED}`, `CRASH_ROUNDS=${ROUNDS}`, only].filter(Boolean).join(" ");
  onTestFailed(() => console.info(`again: ${settings} npm run test:crash -- ${file}`));
}

/** A small seeded generator (Tommy Ettinger's mulberry32). */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** 0 ≤ x < 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    const a = this.#state;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.next() * from.length)] as T;
  }

  /** All of them, in another order. */
  shuffled<T>(from: readonly T[]): T[] {
    return from
      .map((value) => ({ value, at: this.next() }))
      .sort((a, b) => a.at - b.at)
      .map(({ value }) => value);
  }
}
