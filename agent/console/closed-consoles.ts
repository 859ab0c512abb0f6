/** Reports of console sessions that ended: told to the edge again and again, until it has noted them. */
import type { ConsoleClosed, FromAgent } from "../../functions/protocol/frames.ts";

type Leg = Pick<ConsoleClosed, "session" | "leg">;

/** So many are kept, the newest: some megabytes. */
const MAX_KEPT = 10_000;

export class ClosedConsoles {
  readonly #send: (frame: FromAgent) => void;
  readonly #max: number;
  readonly #kept = new Map<string, ConsoleClosed>();

  /** `send` may lose what it is given. */
  constructor(send: (frame: FromAgent) => void, max = MAX_KEPT) {
    this.#send = send;
    this.#max = max;
  }

  add(closed: ConsoleClosed): void {
    this.#kept.set(keyOf(closed), closed);
    const [oldest] = this.#kept.size > this.#max ? this.#kept.keys() : [];
    if (oldest !== undefined) this.#kept.delete(oldest);
    this.#send(closed);
  }

  /** The link is up. */
  linked(): void {
    for (const closed of this.#kept.values()) this.#send(closed);
  }

  noted(leg: Leg): void {
    this.#kept.delete(keyOf(leg));
  }
}

const keyOf = ({ session, leg }: Leg) => `${session} ${leg}`;
