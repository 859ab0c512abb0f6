/** Moving guests between this host and others: what Moving asks, in the guest's turn and by its parts. */
import type { GuestSpec } from "../../../functions/protocol/methods.ts";
import type { LiveMigrateData } from "../../../functions/protocol/move.ts";
import type { MoveLink } from "../../move/moves.ts";
import {
  type ArrivalOrder,
  type ArrivalQuestion,
  type DepartureNews,
  type DepartureOrder,
  DriverError,
  type FinishOrder,
  type Grace,
  type GuestDisk,
  type Moving,
} from "../driver.ts";
import type { Place } from "./build.ts";
import type { QemuUser } from "./capabilities.ts";
import { bringGuestBack, disksOf, finishMigration, prepareDisks, putGuestAside } from "./cold-move.ts";
import type { Endpoint } from "./endpoint.ts";
import { find } from "./guests.ts";
import type { Instances } from "./instances.ts";
import { awaitGuest } from "./live-arrival.ts";
import { checkDestination, checkSource } from "./live-checks.ts";
import { depart } from "./live-departure.ts";
import { LiveMonitor } from "./live-monitor.ts";
import { moveFolder, removeMoveFolder } from "./move-sockets.ts";
import {
  type Domain,
  LIFECYCLE,
  type Libvirt,
  type LifecycleEvent,
  RESUMED_FROM_AFAR,
  SUSPENDED_TO_GO,
} from "./procedures.ts";

/** What the driver does of it: turns, connections, failures. */
export type MovingHost = {
  endpoint: Endpoint;
  closing: AbortSignal;
  qemuUser(): QemuUser | null;
  instances: Instances;
  place(uuid: string): Promise<Place>;
  build<T>(
    name: string,
    uuid: string,
    signal: AbortSignal,
    work: (libvirt: Libvirt, place: Place) => Promise<T>,
  ): Promise<T>;
  powerOff(libvirt: Libvirt, domain: Domain, grace?: Grace): Promise<void>;
  inTurn<T>(name: string, uuid: string, work: (libvirt: Libvirt) => Promise<T>): Promise<T>;
  look<T>(name: string, uuid: string, work: (libvirt: Libvirt, domain: Domain) => Promise<T>): Promise<T>;
  ask<T>(name: string, work: (libvirt: Libvirt) => Promise<T>, uuid?: string): Promise<T>;
  log(event: string, fields?: Record<string, unknown>): void;
};

export class LibvirtMoving implements Moving {
  readonly #host: MovingHost;
  /** Guests that are to come, alive. */
  readonly #coming = new Set<string>();
  /** Guests that are on their way to another host. */
  readonly #leaving = new Map<string, LiveMonitor>();

  constructor(host: MovingHost) {
    this.#host = host;
  }

  /** Whether the guest, if it is here at all, is another host's still. */
  awaits(uuid: string): boolean {
    return this.#coming.has(uuid);
  }

  noted({ uuid, event, detail }: LifecycleEvent): void {
    // Before that libvirt calls it running, too.
    if (event === LIFECYCLE.RESUMED && RESUMED_FROM_AFAR.includes(detail)) this.#coming.delete(uuid);
    const monitor = this.#leaving.get(uuid);
    if (monitor === undefined) return;
    if (event === LIFECYCLE.SUSPENDED && SUSPENDED_TO_GO.includes(detail)) monitor.switches(true);
    if (event === LIFECYCLE.RESUMED) monitor.switches(false);
  }

  /** Whether the guest has stopped here, to go on at the other host. */
  hasSwitched(uuid: string): boolean {
    return this.#leaving.get(uuid)?.switched ?? false;
  }

  /** Whoever waits for the guest's turn, to end it, need not wait for its migration. */
  giveUp(uuid: string): void {
    this.#leaving.get(uuid)?.abort();
  }

  /** The guest is gone from here, or does not come. To be called in its turn. */
  async forget(uuid: string): Promise<void> {
    this.#coming.delete(uuid);
    await removeMoveFolder(moveFolder(uuid, this.#host.endpoint));
  }

  /** A guest that is aside while no move of it goes on here is as it was again. To be called in its turn. */
  async settle(libvirt: Libvirt, uuid: string): Promise<void> {
    const { instances } = this.#host;
    if ((await instances.aside(uuid))?.replaced === false) await bringGuestBack(libvirt, uuid, instances.folder(uuid));
  }

  migrateDiskAndPowerOff(uuid: string, migration: string, grace?: Grace): Promise<void> {
    return this.#host.inTurn("migrate_disk_and_power_off", uuid, async (libvirt) => {
      const { instances } = this.#host;
      if ((await instances.aside(uuid))?.migration === migration) return;
      await this.settle(libvirt, uuid);
      const domain = await needed(libvirt, uuid);
      await instances.need(uuid, "MigrationError");
      await this.#host.powerOff(libvirt, domain, grace);
      await putGuestAside(libvirt, domain, { folder: instances.folder(uuid), migration });
    });
  }

  disksOf(uuid: string, migration: string): Promise<GuestDisk[] | null> {
    return this.#host.inTurn("disks", uuid, () => disksOf(this.#host.instances.folder(uuid), migration));
  }

  prepareDisks(uuid: string, spec: GuestSpec, signal: AbortSignal): Promise<(name: string) => string> {
    return this.#host.build("prepare_disks", uuid, signal, (libvirt, place) => prepareDisks(libvirt, place, spec));
  }

  finishMigration(uuid: string, order: FinishOrder): Promise<void> {
    const { closing } = this.#host;
    return this.#host.build("finish_migration", uuid, closing, (libvirt, place) =>
      finishMigration(libvirt, place, order, closing),
    );
  }

  finishRevertMigration(uuid: string): Promise<void> {
    return this.#host.inTurn("finish_revert_migration", uuid, async (libvirt) => {
      const { instances } = this.#host;
      if (await instances.aside(uuid)) await bringGuestBack(libvirt, uuid, instances.folder(uuid));
      await needed(libvirt, uuid);
    });
  }

  confirmMigration(uuid: string): Promise<void> {
    return this.#host.inTurn("confirm_migration", uuid, async () => {
      const { instances } = this.#host;
      // Half a guest is in place of one that is not replaced.
      if ((await instances.aside(uuid))?.replaced !== false) await instances.removeAside(uuid);
    });
  }

  instanceOnDisk(uuid: string, host: string): Promise<boolean> {
    return this.#host.ask("instance_on_disk", () => this.#host.instances.isLeftBy(uuid, host), uuid);
  }

  checkSource(uuid: string): Promise<LiveMigrateData> {
    return this.#host.look("check_source", uuid, (libvirt, domain) =>
      checkSource(libvirt, domain, this.#host.instances),
    );
  }

  checkDestination(uuid: string, asked: ArrivalQuestion): Promise<{ block_migration: boolean }> {
    const work = async (libvirt: Libvirt) => checkDestination(libvirt, await this.#host.place(uuid), asked);
    return this.#host.ask("check_destination", work, uuid);
  }

  preLiveMigration(uuid: string, order: ArrivalOrder, link: MoveLink, signal: AbortSignal): Promise<void> {
    const { endpoint } = this.#host;
    return this.#host.build("pre_live_migration", uuid, signal, async (libvirt, place) => {
      this.#coming.add(uuid);
      await awaitGuest(libvirt, place, order, { endpoint, user: this.#host.qemuUser(), link }, signal);
    });
  }

  liveMigration(
    uuid: string,
    order: DepartureOrder,
    link: MoveLink,
    news: DepartureNews,
  ): Promise<{ aborted: boolean }> {
    const { endpoint, instances, qemuUser, log } = this.#host;
    const { session } = endpoint;
    return this.#host.inTurn("live_migration", uuid, async (libvirt) => {
      const monitor = new LiveMonitor({ options: order.options, news, log });
      this.#leaving.set(uuid, monitor);
      const departure = { ...order, uuid, instances, session, user: qemuUser(), link };
      try {
        return await depart(libvirt, departure, monitor);
      } finally {
        this.#leaving.delete(uuid);
      }
    });
  }

  async postLiveMigration(uuid: string): Promise<void> {
    await this.#host.inTurn("post_live_migration", uuid, async (libvirt) => {
      // One that has come may have gone off since.
      await needed(libvirt, uuid);
      await this.#host.instances.own(uuid);
      await this.forget(uuid);
    });
  }

  async abortLiveMigration(uuid: string): Promise<void> {
    this.#underWay(uuid).abort();
  }

  async forceCompleteLiveMigration(uuid: string): Promise<void> {
    const monitor = this.#underWay(uuid);
    await this.#host.ask("force_complete", () => monitor.forceComplete(), uuid);
  }

  #underWay(uuid: string): LiveMonitor {
    const monitor = this.#leaving.get(uuid);
    if (monitor) return monitor;
    throw new DriverError("InstanceInvalidState", "the guest is not being migrated");
  }
}

async function needed(libvirt: Libvirt, uuid: string): Promise<Domain> {
  const domain = await find(libvirt, uuid);
  if (domain) return domain;
  throw new DriverError("InstanceNotFound", "the hypervisor has no such guest");
}
