/** A token bucket: what all that asks of it is given stays below a rate, but for a second's worth at a time. */
import { Transform, type TransformCallback } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";

export class Bandwidth {
  readonly #bytesPerSecond: number;
  readonly #now: () => number;
  /** When all that was given would have gone out at the rate, in ms. */
  #dueAt = 0;

  /** 0 is no limit. `now` in ms. */
  constructor(bytesPerSecond: number, now: () => number = performance.now.bind(performance)) {
    this.#bytesPerSecond = bytesPerSecond;
    this.#now = now;
  }

  get unlimited(): boolean {
    return this.#bytesPerSecond === 0;
  }

  /** Takes so many bytes; for how long who sends them has to wait before, in ms. */
  take(bytes: number): number {
    if (this.#bytesPerSecond === 0) return 0;
    const now = this.#now();
    // What was not used in the last second is lost.
    this.#dueAt = Math.max(this.#dueAt, now - 1000);
    const wait = Math.max(0, this.#dueAt - now);
    this.#dueAt += (bytes / this.#bytesPerSecond) * 1000;
    return wait;
  }

  /** Resolves when so many bytes may go. Rejects with the signal's reason. */
  async wait(bytes: number, signal: AbortSignal): Promise<void> {
    const ms = this.take(bytes);
    if (ms > 0) await sleep(ms, undefined, { signal }).catch(() => signal.throwIfAborted());
  }
}

/** Passes what comes as fast as that allows. */
export class Bounded extends Transform {
  readonly #bandwidth: Bandwidth;
  readonly #over = new AbortController();

  constructor(bandwidth: Bandwidth) {
    super();
    this.#bandwidth = bandwidth;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#bandwidth.wait(chunk.length, this.#over.signal).then(
      () => done(null, chunk),
      () => undefined, // it has been destroyed
    );
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#over.abort();
    done(error);
  }
}
