/** What the edge was told of guests' interfaces (nova: instance_info_cache). */
import type { GuestNetworks } from "./drivers/driver.ts";

/** The edge takes no word of a guest that it is acting on; so all is told again from time to time. */
const AGAIN_AFTER_RUNS = 10;

export class InfoCache {
  #told: ReadonlyMap<string, string> = new Map();
  #runs = 0;

  /** Those that the edge was told otherwise of, or not at all. */
  news(guests: readonly GuestNetworks[]): GuestNetworks[] {
    if (this.#runs++ % AGAIN_AFTER_RUNS === 0) return [...guests];
    return guests.filter(({ uuid, interfaces }) => this.#told.get(uuid) !== JSON.stringify(interfaces));
  }

  /** They were told; the others are forgotten. */
  told(guests: readonly GuestNetworks[]): void {
    this.#told = new Map(guests.map(({ uuid, interfaces }) => [uuid, JSON.stringify(interfaces)]));
  }
}
