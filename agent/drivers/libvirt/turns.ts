/** One thing at a time for a guest, in the order asked; guests do not wait for each other. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Runs `work` when all earlier work for `guest` has ended, well or not. */
  take<T>(guest: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(guest) ?? Promise.resolve();
    const mine = before.then(work, work);
    const ended = mine.then(
      () => {},
      () => {},
    );
    this.#last.set(guest, ended);
    void ended.then(() => {
      if (this.#last.get(guest) === ended) this.#last.delete(guest);
    });
    return mine;
  }
}
