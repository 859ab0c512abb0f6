/**
 * A clock that a test sets, under a whole process: libfaketime gives the time, shifted by what a file says, to
 * everything but what counts on a clock that never jumps (CLOCK_MONOTONIC), as with a real clock that is set.
 */
import { writeFileSync } from "node:fs";

const LIBRARY = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
export const CLOCK_NEEDS = { paths: [LIBRARY], apt: "faketime" };

export class Clock {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
    this.set(0);
  }

  get env(): Record<string, string> {
    return {
      LD_PRELOAD: LIBRARY,
      FAKETIME_TIMESTAMP_FILE: this.#file,
      FAKETIME_NO_CACHE: "1",
      DONT_FAKE_MONOTONIC: "1",
      // Files keep the times that the kernel gave them.
      NO_FAKE_STAT: "1",
    };
  }

  /** How far this clock is ahead of the machine's, in hours; behind it when below 0. */
  set(hours: number): void {
    writeFileSync(this.#file, `${hours < 0 ? "-" : "+"}${Math.abs(hours)}h`);
  }
}
