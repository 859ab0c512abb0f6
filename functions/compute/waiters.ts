/** Promises that a later message settles, by id. They live as long as the object: whoever waits asks again. */
export class Waiters<T> {
  readonly #waiting = new Map<string, Set<(value: T) => void>>();

  /** Resolves when `id` is settled, or with `late` after `timeoutMs`. */
  wait(id: string, timeoutMs: number, late: T): Promise<T> {
    return new Promise((resolve) => {
      const all = this.#waiting.get(id) ?? new Set();
      this.#waiting.set(id, all);
      const done = (value: T) => {
        clearTimeout(timer);
        all.delete(done);
        if (all.size === 0 && this.#waiting.get(id) === all) this.#waiting.delete(id);
        resolve(value);
      };
      const timer = setTimeout(() => done(late), timeoutMs);
      all.add(done);
    });
  }

  /** Whether anybody waits. */
  has(id: string): boolean {
    return this.#waiting.has(id);
  }

  /** Returns whether anybody waited. */
  settle(id: string, value: T): boolean {
    const all = this.#waiting.get(id);
    if (!all) return false;
    for (const done of [...all]) done(value);
    return true;
  }

  settleAll(value: T): void {
    for (const id of [...this.#waiting.keys()]) this.settle(id, value);
  }
}
