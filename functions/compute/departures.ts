/** The servers that leave a host: alive, some at a time; or evacuated, and told when nothing of them is here any more. */
import { type GuestReport, POWER_STATE } from "../protocol/guest.ts";
import type { Calls } from "./calls.ts";
import type { HostStore } from "./host-store.ts";

const RUNS: ReadonlySet<GuestReport["power_state"]> = new Set([POWER_STATE.RUNNING, POWER_STATE.PAUSED]);

export type DeparturesParts = {
  store: HostStore;
  calls: Calls;
  env: Env;
  /** The host's name. */
  host: string;
  /** nova: max_concurrent_live_migrations; 0: any number. */
  most: number;
  /** Work that goes on by itself. */
  later(work: Promise<unknown>): void;
};

export class Departures {
  readonly #parts: DeparturesParts;

  constructor(parts: DeparturesParts) {
    this.#parts = parts;
  }

  /** Whether the server may leave alive now; it keeps its place in the queue until it gives that back. */
  takeTurn(server: string): boolean {
    this.#parts.store.queue(server);
    return this.#leaving().includes(server);
  }

  /** The server's live migration is over: the next one is told. */
  giveTurn(server: string): void {
    const { store, env, later } = this.#parts;
    const before = this.#leaving();
    store.unqueue(server);
    for (const next of this.#leaving()) {
      if (!before.includes(next)) later(env.SERVER.getByName(next).settled());
    }
  }

  /** Tells servers that were evacuated that nothing of them is here any more, where that is so. */
  tellGone(): void {
    const { store, later } = this.#parts;
    for (const { server, done } of store.evacuated()) {
      if (done && store.allocation(server) === null) later(this.#tellGone(server));
    }
  }

  /** Switches off what runs here of servers that are being evacuated: until that is done, it is all that is left of them. */
  keepOff(guests: readonly GuestReport[]): void {
    const { store, calls, later } = this.#parts;
    const kept = new Set(store.evacuated().map(({ server }) => server));
    for (const { server, power_state } of kept.size === 0 ? [] : guests) {
      const allocation = kept.has(server) && RUNS.has(power_state) ? store.allocation(server) : null;
      if (allocation === null || allocation.leaving) continue;
      const { generation } = allocation;
      const id = `${server}:${generation}:evacuated:${crypto.randomUUID()}`;
      later(calls.call({ id, server, generation, method: "power_off", params: {} }));
    }
  }

  async #tellGone(server: string): Promise<void> {
    const { store, env, host } = this.#parts;
    await env.SERVER.getByName(server).goneFrom(host);
    store.forgetEvacuated(server);
  }

  #leaving(): string[] {
    const { store, most } = this.#parts;
    return store.queued().slice(0, most === 0 ? undefined : most);
  }
}
