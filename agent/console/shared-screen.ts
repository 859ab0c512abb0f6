/** A screen and the sessions on it: sharing.ts says who types; here everybody hears of it. */
import type { Sharing } from "../../functions/protocol/console.ts";
import type { PageText } from "./page-text.ts";
import {
  expired,
  joined,
  left,
  type Newcomer,
  type Order,
  ordered,
  type Shared,
  seenBy,
  types,
  unshared,
  withSharing,
} from "./sharing.ts";

/** How long control is kept for who had it and lost the connection. */
export const CONTROL_KEPT_MS = 15_000;

export type Seat = {
  who: Newcomer;
  /** Of the session's present connection. */
  leg: number;
  /** Null: the viewer understands RFB only. */
  page: PageText | null;
  /** Called when the session does not type any more. */
  onSilenced(): void;
};

export class SharedScreen {
  readonly #onEmpty: () => void;
  readonly #seats = new Map<string, Seat>();
  #state = unshared("all");
  #timer: NodeJS.Timeout | undefined;

  /** `onEmpty`: nobody is here, nor awaited. */
  constructor(onEmpty: () => void) {
    this.#onEmpty = onEmpty;
  }

  types(session: string): boolean {
    return types(this.#state, session);
  }

  join(seat: Seat, sharing: Sharing): void {
    this.#seats.set(seat.who.session, seat);
    this.#become(joined(withSharing(this.#state, sharing), seat.who));
  }

  /** The session's connection `leg` has ended; nothing, if it has gone on with another. */
  leave(session: string, leg: number, how: { comesBack: boolean }): void {
    if (this.#seats.get(session)?.leg !== leg) return;
    this.#seats.delete(session);
    this.#become(left(this.#state, session, how));
  }

  share(sharing: Sharing): void {
    this.#become(withSharing(this.#state, sharing));
  }

  order(session: string, order: Order): void {
    const by = this.#state.people.find((one) => one.session === session)?.id;
    if (by === undefined) return;
    const { after, tell } = ordered(this.#state, by, order);
    this.#become(after);
    for (const { id, session: to } of after.people) {
      if (tell.includes(id)) this.#seats.get(to)?.page?.tell({ t: "asked", by });
    }
  }

  #become(after: Shared): void {
    const before = this.#state;
    if (after === before) return;
    this.#state = after;
    for (const { id, session } of after.people) {
      const seat = this.#seats.get(session);
      seat?.page?.tell(seenBy(after, id));
      if (types(before, session) && !types(after, session)) seat?.onSilenced();
    }
    if (after.away !== before.away) {
      clearTimeout(this.#timer);
      if (after.away !== null)
        this.#timer = setTimeout(() => this.#become(expired(this.#state)), CONTROL_KEPT_MS).unref();
    }
    if (after.people.length === 0 && after.away === null) this.#onEmpty();
  }
}
