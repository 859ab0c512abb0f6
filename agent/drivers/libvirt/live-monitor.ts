/** What is done about a live migration while it lasts (nova/virt/libvirt/driver.py: _live_migration_monitor). */
import { setTimeout as sleep } from "node:timers/promises";
import type { LiveMigrationOptions } from "../../../functions/protocol/move.ts";
import { type DepartureNews, DriverError } from "../driver.ts";
import { LibvirtError, unlessRefused } from "./errors.ts";
import { dataGib, downtimeSteps, FIGURES, postCopyIsDue } from "./live-pace.ts";
import { DOMAIN_STATE, type Domain, JOB, type Libvirt } from "./procedures.ts";

/** nova: live_migration_monitor_interval is half a second there too. */
const EVERY_MS = 500;

/** How long a guest in post-copy waits for a way that has broken. */
const BROKEN_MS = 60_000;

type Figures = ReadonlyMap<string, number>;
type Monitored = {
  options: LiveMigrationOptions;
  news: DepartureNews;
  log(event: string, fields?: Record<string, unknown>): void;
};

export class LiveMonitor {
  readonly #given: Monitored;
  #way: { libvirt: Libvirt; domain: Domain } | undefined;
  #wake: (() => void) | undefined;
  #forced = false;
  #broken = false;
  /** The figures at the beginning of the round that is under way. */
  #round: Figures = new Map();
  #downtimeMs = 0;
  #late: NodeJS.Timeout | undefined;
  /** Somebody, or the clock, has asked for its end. */
  aborting = false;
  /** Some of the guest's memory has gone. */
  began = false;
  /** The guest stands still here, to go on at the other end. */
  switched = false;
  /** Its memory is to follow the guest, which cannot come back any more. */
  postCopying = false;
  /** Ends the ways to the other host, so that libvirt waits for it no longer. */
  letGo: () => void = () => undefined;
  /** We stopped the guest for it to come to an end. */
  paused = false;

  constructor(given: Monitored) {
    this.#given = given;
  }

  /** The guest stands still here, to go on at the other end, or goes on here after all. */
  switches(away: boolean): void {
    if (away && !this.switched) this.#given.news.switched();
    this.switched = away;
  }

  /** From now on the migration is to end, and the guest to stay. */
  abort(): void {
    this.aborting = true;
    if (this.postCopying) this.letGo();
    this.#wake?.();
  }

  /**
   * The way to the other host has broken. QEMU sees that of a disk that is not written to only at the very end, or
   * never where the guest's memory changes too fast.
   */
  breakOff(): void {
    this.#broken = true;
    // QEMU that waits for memory may answer libvirt nothing more, which then waits as well.
    if (this.postCopying) this.#late ??= setTimeout(() => this.abort(), BROKEN_MS).unref();
    this.#wake?.();
  }

  /** Lets the guest go on at the other end where post-copy is allowed, or stops it, so that what is left can be copied. */
  async forceComplete(): Promise<void> {
    const way = this.#way;
    if (way === undefined) throw new DriverError("InstanceInvalidState", "the migration has not begun");
    this.#forced = true;
    if (this.#given.options.live_migration_permit_post_copy) {
      const switched = await this.#startPostCopy(way).then(() => true, unlessRefused);
      if (switched) return;
    }
    if ((await way.libvirt.state(way.domain)) === DOMAIN_STATE.PAUSED) return;
    this.paused = true;
    await way.libvirt.suspend(way.domain);
  }

  /**
   * Does `perform`, which is the migration, and looks after it. Resolves or rejects as that does. `diskBytes`: of all
   * disks that it brings.
   */
  async follow(
    libvirt: Libvirt,
    { domain, diskBytes }: { domain: Domain; diskBytes: number },
    perform: () => Promise<void>,
  ): Promise<void> {
    if (this.aborting) throw new DriverError("MigrationError", "the migration was aborted");
    if (this.#broken) throw new DriverError("MigrationError", "the way to the other host broke");
    const { maxMemoryKib } = await libvirt.info(domain);
    const gib = dataGib({ memoryBytes: maxMemoryKib * 1024, diskBytes });
    this.#way = { libvirt, domain };
    const startedMs = performance.now();
    let over = false;
    const done = perform().finally(() => {
      over = true;
      this.#wake?.();
    });
    done.catch(() => undefined);
    try {
      while (!over) {
        await this.#pause();
        if (over) break;
        await this.#look({ seconds: (performance.now() - startedMs) / 1000, gib }).catch((error: unknown) => {
          // It ended meanwhile, as `done` tells.
          if (!(error instanceof LibvirtError || error instanceof DriverError)) throw error;
        });
      }
      return await done;
    } finally {
      this.#way = undefined;
      clearTimeout(this.#late);
    }
  }

  /** Until something has happened, or it is time to look. */
  async #pause(): Promise<void> {
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    await sleep(EVERY_MS, undefined, { signal: woken.signal }).catch(() => undefined);
    this.#wake = undefined;
  }

  async #look({ seconds, gib }: { seconds: number; gib: number }): Promise<void> {
    const way = this.#way;
    if (way === undefined) return;
    const { libvirt, domain } = way;
    if ((this.aborting || this.#broken) && !this.postCopying) return void (await libvirt.abortJob(domain));
    const { type, figures } = await libvirt.migration.job(domain);
    if (type === JOB.NONE) return;
    this.began ||= (figures.get("memory_processed") ?? 0) > 0;
    this.#tell(figures);
    if (await this.#outOfTime(seconds, gib)) return;
    await this.#switchIfDue(way, figures);
    await this.#allowDowntime(seconds, gib);
  }

  async #switchIfDue({ libvirt, domain }: { libvirt: Libvirt; domain: Domain }, figures: Figures): Promise<void> {
    if (figures.get("memory_iteration") === this.#round.get("memory_iteration")) return;
    const due = postCopyIsDue(this.#round, figures);
    this.#round = figures;
    if (!due || this.#forced || !this.#given.options.live_migration_permit_post_copy) return;
    await this.#startPostCopy({ libvirt, domain });
    this.#forced = true;
  }

  async #startPostCopy({ libvirt, domain }: { libvirt: Libvirt; domain: Domain }): Promise<void> {
    await libvirt.migration.startPostCopy(domain);
    this.postCopying = true;
    this.#given.log("libvirt.post_copy", { server: domain.uuid });
  }

  #tell(figures: Figures): void {
    const figure = (name: string) => figures.get(name) ?? 0;
    this.#given.news.progress(
      Object.fromEntries(FIGURES.map((name) => [name, figure(name)])) as Record<(typeof FIGURES)[number], number>,
    );
  }

  /** nova: should_abort, and the timeout's action. */
  async #outOfTime(seconds: number, gib: number): Promise<boolean> {
    const { options, log } = this.#given;
    const { live_migration_completion_timeout: perGib, live_migration_timeout_action: action } = options;
    if (perGib === 0 || seconds < perGib * gib || this.#forced || this.postCopying) return false;
    log("libvirt.migration_late", { server: this.#way?.domain.uuid, seconds: Math.round(seconds), action });
    if (action === "abort") this.abort();
    else await this.forceComplete();
    return true;
  }

  /** The longer it takes, the longer the guest may stand still at the end. */
  async #allowDowntime(seconds: number, gib: number): Promise<void> {
    const step = downtimeSteps(this.#given.options, gib).findLast(({ afterSeconds }) => afterSeconds <= seconds);
    if (step === undefined || step.ms <= this.#downtimeMs || this.#way === undefined) return;
    this.#downtimeMs = step.ms;
    await this.#way.libvirt.migration.setMaxDowntime(this.#way.domain, step.ms);
  }
}
