/**
 * What the agent tells of itself: everything in a hello, and what changed in between. The edge heals by comparing, so a
 * frame that is lost here is never sent again: the next full report says the same or something newer.
 */
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { CAPABILITY, type FromAgent, MAX_GUESTS, VERSIONS } from "../functions/protocol/frames.ts";
import { type GuestReport, POWER_STATE, type PowerState } from "../functions/protocol/guest.ts";
import type { Calls } from "./calls.ts";
import type { Driver, GuestInfo } from "./drivers/driver.ts";
import { describe } from "./failure.ts";
import { InfoCache } from "./info-cache.ts";
import type { Journal } from "./journal.ts";
import type { Log } from "./log.ts";
import type { ResourceTracker } from "./resource-tracker.ts";

export type Hello = Extract<FromAgent, { t: "hello" }>;

/** Guests in a report that has their interfaces, far from a frame's limit. */
const REPORTED_AT_ONCE = 1000;

export type ReconcileOptions = {
  driver: Driver;
  tracker: ResourceTracker;
  journal: Journal;
  calls: Calls;
  log: Log;
  host: string;
  version: string;
  /** The guests that the agent itself is about to start: of those it tells when that is over. */
  resuming(): ReadonlySet<string>;
  /** nova: handle_virt_lifecycle_events. */
  events: boolean;
  /** How long after a guest went off it is looked at again: before that is told, and before it is to stay off. */
  offMs?: { told: number; kept: number };
  /** Sends a frame when the link is up; false when it is not. */
  send(frame: FromAgent): boolean;
};

/**
 * Guests also go off because their host does, and are to run again: an agent that is told to stop in this time says
 * nothing of it. `kept` is as long as Nova holds a STOPPED back (nova/virt/libvirt/host.py: _delay_lifecycle).
 */
const OFF_MS = { told: 1000, kept: 15_000 };

export class Reconcile {
  readonly #options: ReconcileOptions;
  readonly #unsubscribe: () => void;
  readonly #stopping = new AbortController();
  /** Changes that the edge was not told of, for the moment the link is up. */
  readonly #unsent = new Map<string, PowerState>();
  /** Why guests could not be started after their host was, until the edge was told. */
  readonly #faults = new Map<string, string>();
  #known: ReadonlySet<string> = new Set();
  readonly #networks = new InfoCache();

  constructor(options: ReconcileOptions) {
    this.#options = options;
    const { driver, events } = options;
    this.#unsubscribe = events ? driver.onLifecycle((guest) => this.#onLifecycle(guest)) : () => undefined;
  }

  /** All that the edge needs to know at the start of a link. Rejects when the hypervisor cannot be asked. */
  async hello(): Promise<Hello> {
    // Cleared before the list is read: a change that comes during the reading may be in neither.
    this.#unsent.clear();
    const resuming = new Set(this.#options.resuming());
    const inventory = await this.#options.tracker.inventory();
    const listed = await this.#options.driver.listGuests();
    this.#known = new Set(listed.map((guest) => guest.uuid));
    this.#adopt(listed);
    const { host, version } = this.#options;
    const guests = listed.filter(({ uuid }) => !resuming.has(uuid));
    return {
      t: "hello",
      host,
      agent: `edgenova-agent ${version} on ${hostname()}`.slice(0, 64),
      versions: VERSIONS,
      capabilities: Object.values(CAPABILITY),
      inventory,
      guests: this.#bounded(guests.map((guest) => this.#report(guest))),
      resuming: [...resuming].slice(0, MAX_GUESTS),
    };
  }

  /** The link is up: sends what happened while it was being made. */
  linked(): void {
    this.#flush();
    this.#faults.clear();
  }

  /** A guest was started after its host was, or could not be. */
  async resumed(uuid: string, fault?: string): Promise<void> {
    if (fault !== undefined) this.#faults.set(uuid, fault);
    const guest = await this.#options.driver.getInfo(uuid);
    this.#tell({ uuid, power_state: guest?.power_state ?? POWER_STATE.NOSTATE });
  }

  /** nova: _sync_power_states. Tells all power states again, but none that a call was about to change. */
  async syncPowerStates(): Promise<void> {
    const { driver, journal } = this.#options;
    const resuming = new Set(this.#options.resuming());
    const { found: listed, touched } = await this.#watching(() => driver.listGuests());
    const now = new Set(listed.map((guest) => guest.uuid));
    const vanished = [...this.#known].filter((uuid) => !now.has(uuid) && !this.#isDestroyed(uuid));
    this.#known = now;
    const guests = [...listed, ...vanished.map((uuid) => ({ uuid, power_state: POWER_STATE.NOSTATE }))].filter(
      ({ uuid }) => !touched.has(uuid) && !resuming.has(uuid),
    );
    this.#adopt(guests);
    journal.desired.confirm();
    const reports = guests.map((guest) => this.#report(guest));
    if (reports.length > 0) this.#options.send({ t: "report", guests: this.#bounded(reports) });
  }

  /** nova: _heal_instance_info_cache. Tells the interfaces that guests have, where they are not as they were told. */
  async healInfoCache(): Promise<void> {
    const { driver } = this.#options;
    const { found, touched } = await this.#watching(async () => driver.listNetworks?.());
    if (found === undefined) return;
    const settled = found.filter(({ uuid }) => !touched.has(uuid));
    const guests = this.#networks
      .news(settled)
      .map(({ interfaces, ...guest }) => ({ ...this.#report(guest), interfaces }));
    for (let i = 0; i < guests.length; i += REPORTED_AT_ONCE) {
      if (!this.#options.send({ t: "report", guests: guests.slice(i, i + REPORTED_AT_ONCE) })) return;
    }
    this.#networks.told(settled);
  }

  stop(): void {
    this.#stopping.abort();
    this.#unsubscribe();
  }

  #onLifecycle({ uuid, power_state }: GuestInfo): void {
    if (power_state === POWER_STATE.NOSTATE && this.#isDestroyed(uuid)) return;
    this.#options.log("guest.changed", { server: uuid, power_state });
    if (isOff(power_state)) void this.#wentOff(uuid);
    else this.#tell({ uuid, power_state });
  }

  /** Its server will be stopped on this word: looks again before it gives it (nova: _sync_instance_power_state). */
  async #wentOff(uuid: string): Promise<void> {
    const { log, journal, offMs = OFF_MS } = this.#options;
    const wait = (ms: number) => sleep(ms, undefined, { signal: this.#stopping.signal, ref: false });
    try {
      await wait(offMs.told);
      const guest = await this.#lookAgain(uuid);
      if (guest !== null) this.#tell(guest);
      await wait(offMs.kept);
      const later = await this.#lookAgain(uuid);
      const generation = journal.guest(uuid)?.generation;
      if (later === null || !isOff(later.power_state) || generation === undefined) return;
      journal.desired.change(uuid, generation, false);
    } catch (error) {
      if (!this.#stopping.signal.aborted) log("guest.look_failed", { server: uuid, message: describe(error) });
    }
  }

  /** How a guest is; null when a call is at work on it, whose outcome will tell, or has destroyed it. */
  async #lookAgain(uuid: string): Promise<GuestInfo | null> {
    const { found: guest, touched } = await this.#watching(() => this.#options.driver.getInfo(uuid));
    if (touched.has(uuid) || (guest === null && this.#isDestroyed(uuid))) return null;
    return guest ?? { uuid, power_state: POWER_STATE.NOSTATE };
  }

  /** What `look` finds, and the servers that calls acted on meanwhile: of those it may be out of date. */
  async #watching<T>(look: () => Promise<T>): Promise<{ found: T; touched: ReadonlySet<string> }> {
    const watch = this.#options.calls.watch();
    try {
      return { found: await look(), touched: watch.end() };
    } finally {
      watch.end();
    }
  }

  #tell({ uuid, power_state }: GuestInfo): void {
    this.#unsent.set(uuid, power_state);
    this.#flush();
  }

  #flush(): void {
    const guests = [...this.#unsent].map(([uuid, power_state]) => this.#report({ uuid, power_state }));
    if (guests.length === 0 || !this.#options.send({ t: "report", guests: this.#bounded(guests) })) return;
    for (const { server } of guests) this.#faults.delete(server);
    this.#unsent.clear();
  }

  /** Guests that the record of those that should run does not have, as after it was lost, come on it as they are. */
  #adopt(guests: readonly GuestInfo[]): void {
    const { journal } = this.#options;
    for (const { uuid, power_state } of guests) {
      const known = journal.guest(uuid);
      if (known === null || known.destroyed || journal.desired.knows(uuid)) continue;
      journal.desired.change(uuid, known.generation, power_state === POWER_STATE.RUNNING);
    }
  }

  #report({ uuid, power_state }: GuestInfo): GuestReport {
    // 0 is older than any generation the edge gives: a guest from before a lost journal is the edge's to judge.
    const generation = this.#options.journal.guest(uuid)?.generation ?? 0;
    const fault = this.#faults.get(uuid);
    return { server: uuid, generation, power_state, ...(fault === undefined ? {} : { fault }) };
  }

  #isDestroyed(uuid: string): boolean {
    return this.#options.journal.guest(uuid)?.destroyed === true;
  }

  #bounded(guests: GuestReport[]): GuestReport[] {
    if (guests.length > MAX_GUESTS) this.#options.log("report.cut", { guests: guests.length, sent: MAX_GUESTS });
    return guests.slice(0, MAX_GUESTS);
  }
}

function isOff(power_state: PowerState): boolean {
  return power_state === POWER_STATE.SHUTDOWN || power_state === POWER_STATE.CRASHED;
}
