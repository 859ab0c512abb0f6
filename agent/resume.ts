/**
 * After a restart of the host: starts the guests that should run, by the agent's own record of them, before the edge is
 * there or without it (nova: ComputeManager._resume_guests_state).
 *
 *   boot id as recorded?  --yes--> nothing to do
 *        | no
 *   resume_guests_state_on_host_boot, and a record to go by?  --no--> they stay off; the edge makes their servers stopped
 *        | yes
 *   each that should run and does not: power on --> reported; with the reason when it failed
 *        | all tried
 *   the record is of this boot
 */

import { POWER_STATE } from "../functions/protocol/guest.ts";
import type { Calls } from "./calls.ts";
import { type Driver, DriverError } from "./drivers/driver.ts";
import { describe } from "./failure.ts";
import type { Journal } from "./journal.ts";
import type { Log } from "./log.ts";
import { Slots } from "./turns.ts";

/** Guests that boot at a time: their disks are the host's, which has all else to start too. */
const AT_A_TIME = 4;

export type ResumeOptions = {
  driver: Driver;
  journal: Journal;
  calls: Calls;
  log: Log;
  /** nova: resume_guests_state_on_host_boot. */
  enabled: boolean;
};

/** `fault`: why the guest does not run. */
export type Resumed = (uuid: string, fault?: string) => void;

export class Resume {
  readonly #options: ResumeOptions;
  readonly #slots = new Slots(AT_A_TIME);
  readonly #stopping = new AbortController();
  readonly #pending = new Set<string>();

  constructor(options: ResumeOptions) {
    this.#options = options;
  }

  /** The guests that are still to be started: what they are now is not how they will be. */
  get pending(): ReadonlySet<string> {
    return this.#pending;
  }

  /**
   * Resolves when it is known which guests are to be started, and to a promise of the end of that, which never rejects.
   * Rejects when the hypervisor cannot be asked.
   */
  async begin(resumed: Resumed): Promise<{ ended: Promise<void> }> {
    const { driver, journal, log, enabled } = this.#options;
    const { desired } = journal;
    const bootId = await driver.bootId();
    const before = desired.bootId();
    if (desired.found === "broken") {
      log("desired.broken", {
        message: "the record of guests that should run is not what this host signed: none is started",
      });
    }
    if (bootId === null || bootId === before) return { ended: Promise.resolve() };
    const due = before === null ? [] : await this.#due();
    if (before !== null) log("host.restarted", { guests: due.length, resume: enabled, record: desired.found });
    if (!enabled || desired.found !== "good" || due.length === 0) {
      desired.setBoot(bootId);
      return { ended: Promise.resolve() };
    }
    for (const uuid of due) this.#pending.add(uuid);
    return { ended: this.#startAll(due, bootId, resumed) };
  }

  /** Starts no more guests; those that are left are for the next agent. */
  stop(): void {
    this.#stopping.abort();
  }

  /** The guests that should run and do not. */
  async #due(): Promise<string[]> {
    const power = new Map((await this.#options.driver.listGuests()).map((guest) => [guest.uuid, guest.power_state]));
    return this.#options.journal.desired.running().filter((uuid) => {
      const now = power.get(uuid);
      if (now === undefined) this.#options.log("guest.missing", { server: uuid });
      return now !== undefined && now !== POWER_STATE.RUNNING;
    });
  }

  async #startAll(due: readonly string[], bootId: string, resumed: Resumed): Promise<void> {
    const { signal } = this.#stopping;
    await Promise.all(due.map((uuid) => this.#inSlot(uuid, resumed)));
    if (!signal.aborted) this.#options.journal.desired.setBoot(bootId);
  }

  async #inSlot(uuid: string, resumed: Resumed): Promise<void> {
    const { signal } = this.#stopping;
    const release = await this.#slots.take(signal).catch(() => null);
    if (release === null) return;
    try {
      await this.#options.calls.alone(uuid, () => this.#start(uuid, resumed));
    } finally {
      release();
    }
  }

  async #start(uuid: string, resumed: Resumed): Promise<void> {
    const { driver, journal, log } = this.#options;
    if (this.#stopping.signal.aborted) return;
    const startedMs = performance.now();
    let fault: string | undefined;
    try {
      // A call that came in between has the last word.
      if (journal.desired.shouldRun(uuid)) await driver.powerOn(uuid);
    } catch (error) {
      log("guest.resume_failed", { server: uuid, message: describe(error) });
      const why = error instanceof DriverError ? `${error.code}: ${error.message}` : "its agent's log has the cause";
      fault = `The host was restarted, and the guest could not be started again: ${why}`.slice(0, 255);
    }
    if (fault === undefined) log("guest.resumed", { server: uuid, ms: Math.round(performance.now() - startedMs) });
    this.#pending.delete(uuid);
    resumed(uuid, fault);
  }
}
