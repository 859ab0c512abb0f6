/** Which images were given to work that has not ended: between a build's path and its overlay no guest shows the use. */
import { AsyncLocalStorage } from "node:async_hooks";

export class ImagesInHand {
  /** What each piece of work that goes on has taken; it finds its own by the asynchronous context that it runs in. */
  readonly #held = new Set<Set<string>>();
  readonly #own = new AsyncLocalStorage<Set<string>>();
  readonly #notes = new Set<Set<string>>();

  /** What `work` takes stays in hand until it has ended. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    const held = new Set<string>();
    this.#held.add(held);
    try {
      return await this.#own.run(held, work);
    } finally {
      this.#held.delete(held);
    }
  }

  take(sha512: string): void {
    this.#own.getStore()?.add(sha512);
    for (const noted of this.#notes) noted.add(sha512);
  }

  /**
   * Gives `look` those that are in hand, and that are taken until it has ended: work that ends meanwhile may have left a
   * guest that `look` did not see any more when it asked for the guests.
   */
  async watch<T>(look: (inHand: ReadonlySet<string>) => Promise<T>): Promise<T> {
    const noted = new Set([...this.#held].flatMap((held) => [...held]));
    this.#notes.add(noted);
    try {
      return await look(noted);
    } finally {
      this.#notes.delete(noted);
    }
  }
}
