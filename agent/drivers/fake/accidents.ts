/** Timers for what a guest's metadata orders to happen by itself; see demo-orders.ts. */
import type { StoredGuest } from "./guest-store.ts";

export type Accident = "vanish" | "crash";

export class Accidents {
  readonly #timers = new Map<string, NodeJS.Timeout[]>();
  readonly #happen: (uuid: string, accident: Accident) => void;

  constructor(happen: (uuid: string, accident: Accident) => void) {
    this.#happen = happen;
  }

  /** Sets the timers of a guest anew. What should have happened already happens at once. */
  plan(guest: StoredGuest, now: number): void {
    this.cancel(guest.uuid);
    const timers: NodeJS.Timeout[] = [];
    for (const [accident, at] of [["vanish", guest.vanish_at] as const, ["crash", guest.crash_at] as const]) {
      if (at === null) continue;
      const timer = setTimeout(() => this.#happen(guest.uuid, accident), Math.max(0, at - now));
      timers.push(timer.unref());
    }
    if (timers.length > 0) this.#timers.set(guest.uuid, timers);
  }

  cancel(uuid: string): void {
    for (const timer of this.#timers.get(uuid) ?? []) clearTimeout(timer);
    this.#timers.delete(uuid);
  }

  cancelAll(): void {
    for (const uuid of [...this.#timers.keys()]) this.cancel(uuid);
  }
}
