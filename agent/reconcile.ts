/**
 * What the agent tells of itself: everything in a hello, and what changed in between. The edge heals by comparing, so a
 * frame that is lost here is never sent again: the next full report says the same or something newer.
 */
import { hostname } from "node:os";
import { type FromAgent, MAX_GUESTS, VERSIONS } from "../functions/protocol/frames.ts";
import { type GuestReport, type Inventory, POWER_STATE, type PowerState } from "../functions/protocol/guest.ts";
import type { Calls } from "./calls.ts";
import type { Driver, GuestInfo, GuestNetworks } from "./drivers/driver.ts";
import { hostIp } from "./host-ip.ts";
import { InfoCache } from "./info-cache.ts";
import type { Journal } from "./journal.ts";
import type { Log } from "./log.ts";

export type Hello = Extract<FromAgent, { t: "hello" }>;

/** Guests in a report that has their interfaces, far from a frame's limit. */
const REPORTED_AT_ONCE = 1000;

export type ReconcileOptions = {
  driver: Driver;
  journal: Journal;
  calls: Calls;
  log: Log;
  host: string;
  version: string;
  /** Sends a frame when the link is up; false when it is not. */
  send(frame: FromAgent): boolean;
};

export class Reconcile {
  readonly #options: ReconcileOptions;
  readonly #unsubscribe: () => void;
  /** Changes since the last hello was put together, for the moment the link is up. */
  readonly #unsent = new Map<string, PowerState>();
  #known: ReadonlySet<string> = new Set();
  readonly #networks = new InfoCache();
  #inventory = "";

  constructor(options: ReconcileOptions) {
    this.#options = options;
    this.#unsubscribe = options.driver.onLifecycle((guest) => this.#onLifecycle(guest));
  }

  /** All that the edge needs to know at the start of a link. Rejects when the hypervisor cannot be asked. */
  async hello(): Promise<Hello> {
    // Cleared before the list is read: a change that comes during the reading may be in neither.
    this.#unsent.clear();
    const inventory = await this.#resources();
    const listed = await this.#options.driver.listGuests();
    this.#known = new Set(listed.map((guest) => guest.uuid));
    this.#inventory = JSON.stringify(inventory);
    const { host, version } = this.#options;
    return {
      t: "hello",
      host,
      agent: `edgenova-agent ${version} on ${hostname()}`.slice(0, 64),
      versions: VERSIONS,
      capabilities: [],
      inventory,
      guests: this.#bounded(listed.map((guest) => this.#report(guest))),
    };
  }

  /** The link is up: sends what happened while it was being made. */
  linked(): void {
    const guests = [...this.#unsent].map(([uuid, power_state]) => this.#report({ uuid, power_state }));
    this.#unsent.clear();
    if (guests.length > 0) this.#options.send({ t: "report", guests: this.#bounded(guests) });
  }

  /** nova: _sync_power_states. Tells all power states again, but none that a call was about to change. */
  async syncPowerStates(): Promise<void> {
    const watch = this.#options.calls.watch();
    let listed: GuestInfo[];
    let touched: ReadonlySet<string>;
    try {
      listed = await this.#options.driver.listGuests();
    } finally {
      touched = watch.end();
    }
    const now = new Set(listed.map((guest) => guest.uuid));
    const vanished = [...this.#known].filter((uuid) => !now.has(uuid) && !this.#isDestroyed(uuid));
    this.#known = now;
    const guests = [...listed, ...vanished.map((uuid) => ({ uuid, power_state: POWER_STATE.NOSTATE }))]
      .filter((guest) => !touched.has(guest.uuid))
      .map((guest) => this.#report(guest));
    if (guests.length > 0) this.#options.send({ t: "report", guests: this.#bounded(guests) });
  }

  /** nova: _heal_instance_info_cache. Tells the interfaces that guests have, where they are not as they were told. */
  async healInfoCache(): Promise<void> {
    const { driver, calls } = this.#options;
    if (!driver.listNetworks) return;
    const watch = calls.watch();
    let listed: GuestNetworks[];
    let touched: ReadonlySet<string>;
    try {
      listed = await driver.listNetworks();
    } finally {
      touched = watch.end();
    }
    const settled = listed.filter(({ uuid }) => !touched.has(uuid));
    const guests = this.#networks
      .news(settled)
      .map(({ interfaces, ...guest }) => ({ ...this.#report(guest), interfaces }));
    for (let i = 0; i < guests.length; i += REPORTED_AT_ONCE) {
      if (!this.#options.send({ t: "report", guests: guests.slice(i, i + REPORTED_AT_ONCE) })) return;
    }
    this.#networks.told(settled);
  }

  /** nova: update_available_resource. Sends the inventory when it is not what the edge was told last. */
  async updateResources(): Promise<void> {
    const inventory = await this.#resources();
    const text = JSON.stringify(inventory);
    if (text === this.#inventory) return;
    if (this.#options.send({ t: "inventory", inventory })) this.#inventory = text;
  }

  async #resources(): Promise<Inventory> {
    const inventory = await this.#options.driver.getAvailableResource();
    const host_ip = hostIp();
    return host_ip === undefined ? inventory : { ...inventory, host_ip };
  }

  stop(): void {
    this.#unsubscribe();
  }

  #onLifecycle(guest: GuestInfo): void {
    if (guest.power_state === POWER_STATE.NOSTATE && this.#isDestroyed(guest.uuid)) return;
    this.#options.log("guest.changed", { server: guest.uuid, power_state: guest.power_state });
    const sent = this.#options.send({ t: "report", guests: [this.#report(guest)] });
    if (!sent) this.#unsent.set(guest.uuid, guest.power_state);
  }

  #report({ uuid, power_state }: GuestInfo): GuestReport {
    // 0 is older than any generation the edge gives: a guest from before a lost journal is the edge's to judge.
    return { server: uuid, generation: this.#options.journal.guest(uuid)?.generation ?? 0, power_state };
  }

  #isDestroyed(uuid: string): boolean {
    return this.#options.journal.guest(uuid)?.destroyed === true;
  }

  #bounded(guests: GuestReport[]): GuestReport[] {
    if (guests.length > MAX_GUESTS) this.#options.log("report.cut", { guests: guests.length, sent: MAX_GUESTS });
    return guests.slice(0, MAX_GUESTS);
  }
}
