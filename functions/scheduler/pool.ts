/** One copy of what many say in the same words, as of the guests they run: ten thousand hosts are of a few kinds. */

/** Whoever has more kinds than this has nothing to share: then it begins anew, and holds nobody's old words. */
const MOST = 1000;

export class Pool {
  readonly #known = new Map<string, unknown>();

  /** `record` with each of its values that are objects as it was first said. */
  share<T extends object>(record: T): T {
    const shared: T = { ...record };
    for (const key of Object.keys(record) as (keyof T)[]) {
      if (typeof record[key] === "object") shared[key] = this.#one(record[key]);
    }
    return shared;
  }

  #one<V>(value: V): V {
    const words = JSON.stringify(value);
    const known = this.#known.get(words);
    if (known !== undefined) return known as V;
    if (this.#known.size === MOST) this.#known.clear();
    this.#known.set(words, value);
    return value;
  }
}
