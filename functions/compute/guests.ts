/**
 * What a host's agent says of its guests, against what the claims say of them: servers are told what changed, and guests
 * that nobody should have are ended. What fails, or is lost, is begun anew by the next report.
 */
import { log } from "../log.ts";
import { CAPABILITY } from "../protocol/frames.ts";
import { type GuestReport, POWER_STATE } from "../protocol/guest.ts";
import type { Calls } from "./calls.ts";
import type { Allocation, HostStore } from "./host-store.ts";
import { type Link, send } from "./link.ts";

const DESTROY_AGAIN_MS = 5_000;

export type GuestsParts = {
  store: HostStore;
  link: Link;
  calls: Calls;
  env: Env;
  /** The host's name. */
  host: string;
  /** Work that goes on by itself. */
  later(work: Promise<unknown>): void;
};

export class Guests {
  readonly #parts: GuestsParts;
  /** What servers are being told now, or are to be told next: the last word on each guest. */
  readonly #telling = new Map<string, GuestReport>();

  /** Servers whose destroy failed, and is to be asked for again. */
  readonly #again = new Set<string>();

  constructor(parts: GuestsParts) {
    this.#parts = parts;
  }

  /** Tells the servers what changed since they were last told, and ends guests that should not be. */
  compare(guests: readonly GuestReport[]): void {
    const { store, calls, later } = this.#parts;
    for (const guest of guests) {
      const allocation = store.allocation(guest.server);
      if (allocation === null) later(this.#strange(guest));
      else if (allocation.leaving) later(calls.destroy(guest.server, allocation.generation));
      else if (this.#isNews(guest, allocation)) later(this.#tell(guest));
    }
  }

  /** Claims whose guest was not reported, and is not being made: the guest vanished. */
  findMissing(guests: readonly GuestReport[], resuming: readonly string[]): void {
    const { store, calls, later } = this.#parts;
    const there = new Set([...guests.map((guest) => guest.server), ...resuming]);
    for (const allocation of store.allocations()) {
      const { server, generation, leaving } = allocation;
      if (there.has(server)) continue;
      if (leaving) later(calls.destroy(server, generation));
      const known = this.#known(allocation);
      if (leaving || known === POWER_STATE.NOSTATE || store.openCallsOf(server).length > 0) continue;
      later(this.#tell({ server, generation, power_state: POWER_STATE.NOSTATE }));
    }
  }

  /** A destroy that failed, as while libvirtd restarts, is asked for again: who asked for it may not wait for the end. */
  async destroyAgain({ server, generation }: Pick<GuestReport, "server" | "generation">): Promise<void> {
    const { store, calls } = this.#parts;
    if (this.#again.has(server)) return;
    this.#again.add(server);
    await scheduler.wait(DESTROY_AGAIN_MS);
    this.#again.delete(server);
    if (store.allocation(server)?.leaving) await calls.destroy(server, generation);
  }

  /** Whether its server was told otherwise. */
  #isNews({ fault, power_state, interfaces }: GuestReport, allocation: Allocation): boolean {
    if (fault !== undefined || this.#known(allocation) !== power_state) return true;
    return interfaces !== undefined && JSON.stringify(interfaces) !== allocation.interfaces;
  }

  /** The power state that the server knows of, or is about to. */
  #known({ server, power_state }: Pick<GuestReport, "server" | "power_state">): GuestReport["power_state"] {
    return this.#telling.get(server)?.power_state ?? power_state;
  }

  /** Tells a server of its guest, one word after the other: an older one never comes after a newer. */
  async #tell(guest: GuestReport): Promise<void> {
    const { store, env, host } = this.#parts;
    const { server } = guest;
    const before = this.#telling.get(server);
    // Most words say nothing of interfaces: what an earlier one said of them holds.
    this.#telling.set(server, { ...(before?.interfaces && { interfaces: before.interfaces }), ...guest });
    if (before) return;
    try {
      for (let told: GuestReport | undefined; told !== this.#telling.get(server); ) {
        told = this.#telling.get(server) ?? guest;
        const taken = await env.SERVER.getByName(server).guestReported(host, told);
        const claimed = store.allocation(server)?.generation ?? Number.POSITIVE_INFINITY;
        // A call that was settled meanwhile may have told of a newer incarnation.
        if (taken && claimed <= told.generation) store.setPower(server, told.generation, told.power_state);
        if (taken && told.interfaces) store.setInterfaces(server, JSON.stringify(told.interfaces));
      }
    } finally {
      this.#telling.delete(server);
    }
  }

  /** A guest without a claim: touched only if its server says that it does not belong here. */
  async #strange({ server, generation }: GuestReport): Promise<void> {
    const { store, link, calls, env, host } = this.#parts;
    const belongs = await env.SERVER.getByName(server).guestBelongs(host);
    log("guest.unclaimed", { host, server, belongs: belongs.kind });
    if (store.allocation(server) !== null) return;
    const ws = link.current();
    if (belongs.kind === "deleted" && ws !== null && link.can(ws, CAPABILITY.RUNNING_DELETED)) {
      send(ws, { t: "deleted", guests: [{ server, generation, at: belongs.at }] });
    } else if (belongs.kind === "deleted" || belongs.kind === "moved") await calls.destroy(server, generation);
  }
}
