/** Sockets whose other end has not come yet. They live as long as their object's memory does. */

/** How long one waits. */
export const JOIN_TIMEOUT_MS = 15_000;

/** A code of RFC 6455 §7.4.2, and its words. */
type Closing = { code: number; reason: string };
type Half = { far: WebSocket; deadline: ReturnType<typeof setTimeout> };

export class Halves {
  readonly #halves = new Map<string, Half>();

  /** Keeps `far`, which whoever comes for `key` is to have; ends it with `late` when nobody does in time. */
  wait(key: string, far: WebSocket, late: Closing): void {
    const deadline = setTimeout(() => this.end(key, late), JOIN_TIMEOUT_MS);
    this.#halves.set(key, { far, deadline });
  }

  take(key: string): WebSocket | null {
    const half = this.#halves.get(key);
    if (half === undefined) return null;
    clearTimeout(half.deadline);
    this.#halves.delete(key);
    return half.far;
  }

  endAll(closing: Closing): void {
    for (const key of [...this.#halves.keys()]) this.end(key, closing);
  }

  /** Ends one that is still waiting. */
  end(key: string, { code, reason }: Closing): void {
    const far = this.take(key);
    far?.accept();
    far?.close(code, reason);
  }
}
