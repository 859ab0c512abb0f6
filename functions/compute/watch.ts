/** Watches whether one host's agent lives: keeps what `liveness.ts` says, and the alarm that looks again. */
import type { Link } from "./link.ts";
import { isUp, look, lookAfterMs, NEVER_SEEN, type Times, unlinked, type Watched, woken } from "./liveness.ts";

const KEY = "watch";

export class Watch {
  readonly #storage: DurableObjectStorage;
  readonly #link: Link;
  readonly #times: Times;

  constructor(storage: DurableObjectStorage, link: Link, times: Times) {
    this.#storage = storage;
    this.#link = link;
    this.#times = times;
    const before = this.#watched();
    const now = Date.now();
    if (this.#keep(before, woken(before, this.#sight(now)))) this.#lookAt(now + times.reportMs);
  }

  /** nova: is_up = now - last_seen <= service_down_time. */
  isUp(): boolean {
    return isUp(this.#watched(), this.#sight(Date.now()), this.#times);
  }

  /** The host's last sign of life, Unix ms; null when there never was one. */
  seenAt(): number | null {
    const watched = this.#watched();
    return watched.state === "linked" ? this.#link.seenAt() : watched.seen_at;
  }

  /** A hello was answered. An alarm that is set stays: it finds the heartbeats. */
  linked(): void {
    const before = this.#watched();
    if (!this.#keep(before, { state: "linked" })) return;
    if (before.state === "down") this.#lookAt(Date.now() + lookAfterMs(this.#times));
  }

  /** The last link has ended, with its last sign of life at `seenAt`. */
  unlinked(seenAt: number): void {
    const before = this.#watched();
    const now = Date.now();
    if (this.#keep(before, unlinked(before, seenAt, now, this.#times))) this.#lookAt(now + this.#times.reportMs);
  }

  /** The alarm that was set for `plannedAt`; returns whether the host has just been found down. */
  look(plannedAt: number): boolean {
    const before = this.#watched();
    const { watched, nextAt } = look(before, { ...this.#sight(Date.now()), plannedAt }, this.#times);
    this.#keep(before, watched);
    if (nextAt !== null) this.#lookAt(nextAt);
    return before.state !== "down" && watched.state === "down";
  }

  forget(): void {
    this.#storage.kv.delete(KEY);
    void this.#storage.deleteAlarm();
  }

  #watched(): Watched {
    return this.#storage.kv.get<Watched>(KEY) ?? NEVER_SEEN;
  }

  /** Writes what has changed; false when nothing has. */
  #keep(before: Watched, after: Watched): boolean {
    if (before === after || (before.state === "linked" && after.state === "linked")) return false;
    this.#storage.kv.put(KEY, after);
    return true;
  }

  #sight(now: number) {
    return { now, seenAt: this.#link.seenAt() };
  }

  /** Not awaited: it is committed with what was written, before anything leaves the object. */
  #lookAt(at: number): void {
    void this.#storage.setAlarm(at);
  }
}
