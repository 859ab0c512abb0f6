/**
 * Notices a dead path. A socket whose other end is gone says nothing for minutes: a cable that was pulled, a laptop that
 * slept, an address that changed.
 */

/** Between two pings. */
export const PING_MS = 5_000;
/** Silence after which the path is dead. A screen that stands still is silent too; the pongs are not. */
export const SILENCE_MS = 10_000;
/** The same after a wake-up, when a path that is alive answers at once. */
export const WAKE_MS = 2_000;
/** How often to look. A gap of more than `PING_MS` between two looks is a sleep. */
export const LOOK_MS = 500;

/** Round trips that the shown latency is the median of. */
const SAMPLES = 5;

export type Verdict = "fine" | "ping" | "dead";

/** All times are in milliseconds of one wall clock: the other clocks stand still while a laptop sleeps. */
export class Heartbeat {
  #pingedAt: number;
  #lookedAt: number;
  /** When silence is death. */
  #deadline: number;
  #trips: number[] = [];

  constructor(now: number) {
    this.#pingedAt = this.#lookedAt = now;
    this.#deadline = now + SILENCE_MS;
  }

  /** Something came. */
  heard(now: number): void {
    this.#deadline = now + SILENCE_MS;
  }

  /** The answer to the ping that was sent at `sentAt`. */
  pong(sentAt: number, now: number): void {
    this.heard(now);
    if (sentAt <= now) this.#trips = [...this.#trips, now - sentAt].slice(-SAMPLES);
  }

  /** Median of the last round trips, in milliseconds; null before the first. */
  get latency(): number | null {
    const sorted = [...this.#trips].sort((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)] ?? null;
  }

  /** The page woke up, or the browser says that there is a network again: find out now. */
  wake(now: number): Verdict {
    this.#deadline = now + WAKE_MS;
    return this.#ping(now);
  }

  look(now: number): Verdict {
    const slept = now - this.#lookedAt > PING_MS;
    this.#lookedAt = now;
    if (slept) return this.wake(now);
    if (now >= this.#deadline) return "dead";
    return now - this.#pingedAt >= PING_MS ? this.#ping(now) : "fine";
  }

  #ping(now: number): Verdict {
    this.#pingedAt = now;
    return "ping";
  }
}
