/** Bytes that are nearly a protocol's, always the same for a seed. */

const LONG_BYTES = 2000;

export class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** A whole number from 0 to below `end` (mulberry32). */
  below(end: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * end);
  }

  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  /** True once in `times`. */
  once(times: number): boolean {
    return this.below(times) === 0;
  }

  list<T>(max: number, make: () => T): T[] {
    return Array.from({ length: this.below(max + 1) }, make);
  }

  noise(max: number): Buffer {
    return Buffer.from(this.list(max, () => this.below(256)));
  }

  /** `bytes` with a few of them changed, left out or doubled. */
  mutated(bytes: Buffer): Buffer {
    const copy = Buffer.from(bytes);
    if (copy.length === 0) return copy;
    // What is extreme is where lengths go wrong.
    for (let left = this.below(4); left > 0; left--)
      copy[this.below(copy.length)] = this.of([0, 1, 127, 128, 255, this.below(256)]);
    const at = this.below(copy.length);
    if (this.once(4))
      return Buffer.concat([copy.subarray(0, at), copy.subarray(Math.min(copy.length, at + this.below(9)))]);
    return this.once(4) ? Buffer.concat([copy.subarray(0, at), this.noise(8), copy.subarray(at)]) : copy;
  }

  /** The same bytes in pieces, now and then in single ones. */
  pieces(bytes: Buffer): Buffer[] {
    // A long one in single bytes takes long, and finds no more.
    const longest = this.of(bytes.length > LONG_BYTES ? [200, 5000] : [1, 3, 20, 200]);
    const pieces: Buffer[] = [];
    for (let at = 0; at < bytes.length; ) {
      const end = at + 1 + this.below(longest);
      // What a socket reads into may be used again: nobody may keep it.
      pieces.push(Buffer.from(bytes.subarray(at, end)));
      at = end;
    }
    return pieces;
  }
}
