/**
 * Fencing by lease: where the edge gives one, this host's guests may run only while the agent had word of the edge within
 * it. The edge evacuates a host's servers once the lease is surely over, and so none of them ever runs twice.
 *
 *   ping sent at t, answered --> guests may run until t + lease --over, no word--> every guest is switched off
 *
 * Time is that of the host since its boot, also while it slept. The lease outlives the agent, in a file: one that comes
 * back too late, or after a restart of the host, switches off first, and starts nothing before the edge has spoken.
 */
import { uptime } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { POWER_STATE } from "../functions/protocol/guest.ts";
import type { Calls } from "./calls.ts";
import type { Driver } from "./drivers/driver.ts";
import { describe } from "./failure.ts";
import type { Log } from "./log.ts";
import { readIfThere, writePrivate } from "./state-dir.ts";

const FILE = "lease.json";
const LOOK_MS = 1000;

const kept = z.object({ lease: z.number().positive(), contact: z.number(), boot: z.string().nullable() });
type Kept = z.infer<typeof kept>;

const OFF: ReadonlySet<number> = new Set([POWER_STATE.NOSTATE, POWER_STATE.SHUTDOWN, POWER_STATE.CRASHED]);

export type FencingOptions = {
  stateDir: string;
  driver: Pick<Driver, "listGuests" | "powerOff">;
  calls: Pick<Calls, "alone">;
  /** The host's boot; null where there is no telling. */
  boot: string | null;
  log: Log;
  /** Seconds since the host's boot. */
  now?: () => number;
};

export class Fencing {
  readonly #options: FencingOptions;
  readonly #path: string;
  #kept: Kept | null;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  /** Whether guests were switched off since there was word of the edge. */
  #isDone = false;

  constructor(options: FencingOptions) {
    this.#options = options;
    this.#path = join(options.stateDir, FILE);
    const text = readIfThere(this.#path);
    this.#kept = text === null ? null : readKept(text);
  }

  /** Whether the guests may run no longer: their server may be built elsewhere by now. */
  get isOver(): boolean {
    if (this.#kept === null) return false;
    const { lease, contact, boot } = this.#kept;
    return boot !== this.#options.boot || this.#now() - contact > lease;
  }

  /** Looks at the lease from now on; resolves after the first look. */
  async start(): Promise<void> {
    await this.#look();
  }

  /** What the edge said in its welcome, to a hello that was sent at `at`; undefined: it fences nobody. */
  welcomed(lease: number | undefined, at: number): void {
    if (lease === undefined && this.#kept === null) return;
    if (lease === undefined) this.#kept = null;
    else this.#kept = { lease, contact: at, boot: this.#options.boot };
    this.#isDone = false;
    this.#save();
  }

  /** The edge answered what was sent at `at`, seconds since the host's boot. */
  heard(at: number): void {
    if (this.#kept === null || at <= this.#kept.contact) return;
    this.#kept = { ...this.#kept, contact: at, boot: this.#options.boot };
    this.#isDone = false;
    this.#save();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  async #look(): Promise<void> {
    if (this.isOver && !this.#isDone) await this.#switchOff();
    if (this.#stopped) return;
    this.#timer = setTimeout(() => void this.#look(), LOOK_MS);
    this.#timer.unref();
  }

  /** Until all are off; what fails is tried again at the next look. */
  async #switchOff(): Promise<void> {
    const { driver, calls, log } = this.#options;
    try {
      const running = (await driver.listGuests()).filter(({ power_state }) => !OFF.has(power_state));
      if (running.length > 0)
        log("lease.over", { message: "no word of the edge: guests are switched off", guests: running.length });
      const ends = running.map(({ uuid }) => calls.alone(uuid, () => driver.powerOff(uuid)));
      const failed = (await Promise.allSettled(ends)).find(({ status }) => status === "rejected");
      if (failed?.status === "rejected") throw failed.reason;
      this.#isDone = true;
    } catch (error) {
      log("lease.switch_off_failed", { message: describe(error) });
    }
  }

  #now(): number {
    return (this.#options.now ?? uptime)();
  }

  #save(): void {
    try {
      writePrivate(this.#path, JSON.stringify(this.#kept), { replace: true });
    } catch (error) {
      // The lease in memory holds; after a restart an older contact only fences sooner.
      this.#options.log("lease.not_kept", { message: describe(error) });
    }
  }
}

function readKept(text: string): Kept | null {
  try {
    return kept.nullable().parse(JSON.parse(text));
  } catch {
    return null;
  }
}
