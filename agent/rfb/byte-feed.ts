/**
 * Parsing bytes that come in any pieces, written as if they were all there.
 *
 * A `Reading` is a generator that yields how many bytes it needs next and is resumed with exactly as many. So a
 * protocol reads from top to bottom, and no more is ever kept than what one `yield` asked for.
 */
export type Reading<T> = Generator<number, T, Buffer>;

export class ByteFeed {
  readonly #reading: Reading<void>;
  #held: Buffer = Buffer.alloc(0);
  /** Bytes that the reading waits for; null when it has ended. */
  #needed: number | null = 0;
  #running = false;

  /** Runs the reading up to the first bytes it needs. Throws what the reading throws. */
  constructor(reading: Reading<void>) {
    this.#reading = reading;
    this.#run();
  }

  /**
   * Hands on all that is complete. Throws what the reading throws; after that, and after `end`, bytes are dropped.
   * Bytes that come from within the reading, as an answer to what it wrote, wait for their turn.
   */
  push(chunk: Buffer): void {
    if (this.#needed === null) return;
    this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    if (!this.#running) this.#run();
  }

  /** Bytes that have come and that the reading has not asked for; after its end, all that it left. */
  get rest(): Buffer {
    return this.#held;
  }

  get ended(): boolean {
    return this.#needed === null;
  }

  /** Stops the reading where it is. May be called from within it. */
  end(): void {
    this.#needed = null;
    this.#held = Buffer.alloc(0);
  }

  #run(): void {
    this.#running = true;
    try {
      while (this.#needed !== null && this.#held.length >= this.#needed) {
        const bytes = this.#held.subarray(0, this.#needed);
        this.#held = this.#held.subarray(this.#needed);
        const step = this.#reading.next(bytes);
        if (step.done) this.#needed = null;
        else if (this.#needed !== null) this.#needed = step.value;
      }
    } catch (error) {
      this.end();
      throw error;
    } finally {
      this.#running = false;
    }
  }
}
