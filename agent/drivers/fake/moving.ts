/**
 * Fake guests go to other fake hosts: off, in the file that is their disk; alive, as one message that has their row, their
 * disk, their drive and what stands on their screen. The clock stands still while it is on its way, and goes on there.
 */
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { POWER_STATE } from "../../../functions/protocol/guest.ts";
import type { GuestSpec, ImageRef } from "../../../functions/protocol/methods.ts";
import type { LiveMigrateData } from "../../../functions/protocol/move.ts";
import type { MoveLink } from "../../move/moves.ts";
import { asideOf, bringBack, dropAside, putAside, readAside, setReplaced } from "../aside.ts";
import {
  type ArrivalOrder,
  type ArrivalQuestion,
  type DepartureNews,
  type DepartureOrder,
  DriverError,
  type FinishOrder,
  type GuestDisk,
  type LiveProgress,
  type Moving,
} from "../driver.ts";
import type { ConfigDrives } from "./config-drives.ts";
import { type Failable, failIfOrdered, timeOf } from "./demo-orders.ts";
import { DISK, type Disks } from "./disks.ts";
import { goOn, halt } from "./guest-clock.ts";
import { booted, hasScreen, made, stopped } from "./guest-life.ts";
import { type GuestStore, type StoredGuest, storedGuest } from "./guest-store.ts";
import type { Screens } from "./screens.ts";

const GIB = 2 ** 30;
const MIB = 2 ** 20;
const MACHINE = "fake";
const STREAM = "guest";
/** How often a live migration tells how far it is. */
const STEP_MS = 50;

const cells = z.array(z.int());
/** What is kept of a guest that is aside. */
const kept = z.object({ guest: storedGuest, drive: z.array(z.tuple([z.string(), z.base64()])) });
/** What a live guest is on its way. */
const traveller = kept.extend({
  disk: z.base64(),
  text: z.object({ above: z.array(cells), line: cells }).nullable(),
});

export type MovingHost = {
  version: number;
  closing: AbortSignal;
  disks: Disks;
  drives: ConfigDrives;
  screens: Screens;
  store: Pick<GuestStore, "get">;
  inTurn<T>(uuid: string, work: () => Promise<T>): Promise<T>;
  build<T>(uuid: string, signal: AbortSignal, work: (given: AbortSignal) => Promise<T>): Promise<T>;
  prepare(method: Failable, spec: GuestSpec, image: ImageRef, signal: AbortSignal): Promise<void>;
  become(guest: StoredGuest): Promise<void>;
  remove(uuid: string): Promise<void>;
};

type Leaving = { abort: AbortController; hurry: AbortController };

const refused = (why: string) => new DriverError("MigrationError", why);

export class FakeMoving implements Moving {
  readonly #host: MovingHost;
  readonly #leaving = new Map<string, Leaving>();
  readonly #coming = new Set<string>();

  constructor(host: MovingHost) {
    this.#host = host;
  }

  /** The guest is not to come any more, or not to go. */
  giveUp(uuid: string): void {
    this.#coming.delete(uuid);
    this.#leaving.get(uuid)?.abort.abort();
  }

  /** A guest that is aside while no move of it goes on here is as it was again. To be called in its turn. */
  async settle(uuid: string): Promise<void> {
    if ((await this.#aside(uuid))?.replaced === false) await this.#bringBack(uuid);
  }

  migrateDiskAndPowerOff(uuid: string, migration: string): Promise<void> {
    const { become, disks, drives, inTurn } = this.#host;
    return inTurn(uuid, async () => {
      if ((await this.#aside(uuid))?.migration === migration) return;
      await this.settle(uuid);
      const guest = stopped(this.#allowed(uuid, "migrate_disk_and_power_off"), POWER_STATE.SHUTDOWN, Date.now());
      await become(guest);
      await disks.make(uuid);
      const description = JSON.stringify({ guest, drive: await drives.read(uuid) });
      await putAside(disks.folder(uuid), { migration, description });
    });
  }

  disksOf(uuid: string, migration: string): Promise<GuestDisk[] | null> {
    const { disks, inTurn } = this.#host;
    return inTurn(uuid, async () => {
      if ((await this.#aside(uuid))?.migration !== migration) return null;
      return [{ name: DISK, path: join(asideOf(disks.folder(uuid)), DISK) }];
    });
  }

  finishRevertMigration(uuid: string): Promise<void> {
    return this.#host.inTurn(uuid, async () => {
      this.#allowed(uuid, "finish_revert_migration");
      await this.#bringBack(uuid);
    });
  }

  confirmMigration(uuid: string): Promise<void> {
    return this.#host.inTurn(uuid, async () => {
      this.#allowed(uuid, "confirm_migration");
      if ((await this.#aside(uuid))?.replaced !== false) await dropAside(this.#host.disks.folder(uuid));
    });
  }

  prepareDisks(uuid: string, spec: GuestSpec, signal: AbortSignal): Promise<(name: string) => string> {
    return this.#host.build(uuid, signal, async (given) => {
      const { disks, prepare, store } = this.#host;
      const guest = store.get(uuid);
      if (guest && hasScreen(guest)) throw refused("the guest runs on this host already");
      await prepare("receive_disks", spec, spec.image, given);
      await disks.prepare(uuid);
      return (name) => {
        if (name !== DISK) throw new DriverError("InvalidCall", "a guest has no file of that name");
        return disks.path(uuid);
      };
    });
  }

  finishMigration(uuid: string, { spec, start }: FinishOrder): Promise<void> {
    const { become, disks, drives, inTurn, store } = this.#host;
    return inTurn(uuid, async () => {
      failIfOrdered(spec.metadata, "finish_migration");
      const earlier = store.get(uuid);
      if (earlier && hasScreen(earlier)) return;
      if (!(await disks.has(uuid))) throw refused("the guest's disk cannot be used: it has not come");
      await drives.write({ uuid, spec });
      const now = Date.now();
      const guest = made({ uuid, spec, now });
      await setReplaced(disks.folder(uuid));
      await become(start ? booted(guest, now) : { ...guest, power_state: POWER_STATE.SHUTDOWN });
    });
  }

  async checkSource(uuid: string): Promise<LiveMigrateData> {
    const { spec } = alive(this.#allowed(uuid, "check_can_live_migrate_source"));
    const capacity = spec.disk_gb * GIB;
    const disks = [{ name: DISK, format: "raw" as const, capacity, allocation: 0 }];
    return { cpu: "", machine: MACHINE, hypervisor_version: this.#host.version, disks, probe: null };
  }

  /** No fake host shares storage with another. */
  async instanceOnDisk(): Promise<boolean> {
    return false;
  }

  async checkDestination(
    uuid: string,
    { spec, data, block_migration }: ArrivalQuestion,
  ): Promise<{ block_migration: boolean }> {
    failIfOrdered(spec.metadata, "check_can_live_migrate_destination");
    if (this.#host.store.get(uuid)) throw refused("the guest is on this host already");
    if (block_migration === false) throw refused("the guest's disks are on no storage that the two hosts share");
    if (data.machine !== MACHINE) throw refused(`this host has no machine ${data.machine}`);
    if (data.hypervisor_version > this.#host.version) throw refused("this host's hypervisor is older than the guest's");
    return { block_migration: true };
  }

  preLiveMigration(uuid: string, { spec }: ArrivalOrder, link: MoveLink, signal: AbortSignal): Promise<void> {
    return this.#host.build(uuid, signal, async (given) => {
      if (this.#host.store.get(uuid)) throw refused("the guest is on this host already");
      await this.#host.prepare("pre_live_migration", spec, spec.image, given);
      this.#coming.add(uuid);
      link.onStream((kind, stream) => {
        stream.on("error", () => undefined);
        if (kind === STREAM) this.#take(uuid, stream).catch(() => stream.destroy());
        else stream.destroy();
      });
    });
  }

  liveMigration(
    uuid: string,
    _order: DepartureOrder,
    link: MoveLink,
    { progress }: DepartureNews,
  ): Promise<{ aborted: boolean }> {
    const leaving = { abort: new AbortController(), hurry: new AbortController() };
    this.#leaving.set(uuid, leaving);
    return this.#host
      .inTurn(uuid, async () => {
        const guest = this.#host.store.get(uuid);
        // A call that is repeated: the crash was after the guest had gone.
        if (guest === undefined) return { aborted: false };
        await precopy(alive(guest), { ...leaving, closing: this.#host.closing }, progress);
        if (leaving.abort.signal.aborted) return { aborted: true };
        failIfOrdered(guest.spec.metadata, "live_migration");
        await this.#send(guest, await link.open(STREAM, leaving.abort.signal));
        await this.#host.remove(uuid);
        return { aborted: false };
      })
      .catch((error: unknown) => {
        if (leaving.abort.signal.aborted) return { aborted: true };
        throw error;
      })
      .finally(() => this.#leaving.delete(uuid));
  }

  postLiveMigration(uuid: string): Promise<void> {
    return this.#host.inTurn(uuid, async () => {
      alive(this.#allowed(uuid, "post_live_migration_at_destination"));
      this.#coming.delete(uuid);
    });
  }

  async abortLiveMigration(uuid: string): Promise<void> {
    this.#underWay(uuid).abort.abort();
  }

  async forceCompleteLiveMigration(uuid: string): Promise<void> {
    this.#underWay(uuid).hurry.abort();
  }

  #aside(uuid: string): ReturnType<typeof readAside> {
    return readAside(this.#host.disks.folder(uuid));
  }

  #bringBack(uuid: string): Promise<void> {
    const { become, disks, drives, screens } = this.#host;
    return bringBack(disks.folder(uuid), async (description) => {
      const { guest, drive } = kept.parse(JSON.parse(description));
      await screens.close(uuid);
      if (guest.config_drive) await drives.restore(uuid, drive);
      await become(guest);
    });
  }

  #underWay(uuid: string): Leaving {
    const leaving = this.#leaving.get(uuid);
    if (leaving) return leaving;
    throw new DriverError("InstanceInvalidState", "the guest is not being migrated");
  }

  /** The guest, if its metadata does not order the method to fail. */
  #allowed(uuid: string, method: Failable): StoredGuest {
    const guest = this.#host.store.get(uuid);
    if (!guest) throw new DriverError("InstanceNotFound", "the host has no such guest");
    failIfOrdered(guest.spec.metadata, method);
    return guest;
  }

  /** The picture stands still from here on; unless the other end has the guest, it goes on here. */
  async #send(guest: StoredGuest, stream: Duplex): Promise<void> {
    const { disks, drives, screens } = this.#host;
    const { uuid } = guest;
    const halted = halt(guest, Date.now());
    stream.on("error", () => undefined);
    try {
      await screens.follow(halted);
      const disk = (await disks.read(uuid)).toString("base64");
      const text = screens.text(uuid);
      stream.write(`${JSON.stringify({ guest: halted, disk, drive: await drives.read(uuid), text })}\n`);
      if ((await readLine(stream)) !== "ok") throw refused("the other host did not take the guest");
      stream.end();
    } catch (error) {
      stream.destroy();
      await screens.follow(guest);
      throw error instanceof DriverError ? error : refused("the migration failed, and the guest goes on here");
    }
  }

  async #take(uuid: string, stream: Duplex): Promise<void> {
    const { become, disks, drives, inTurn, screens } = this.#host;
    const { guest, disk, drive, text } = traveller.parse(JSON.parse(await readLine(stream)));
    await inTurn(uuid, async () => {
      if (guest.uuid !== uuid || !this.#coming.has(uuid)) throw refused("this guest is not awaited");
      await disks.write(uuid, Buffer.from(disk, "base64"));
      if (guest.config_drive) await drives.restore(uuid, drive);
      await become(guest.power_state === POWER_STATE.PAUSED ? guest : goOn(guest, Date.now()));
      if (text) screens.showText(uuid, text);
    });
    stream.end("ok\n");
  }
}

/** Throws InstanceInvalidState unless the guest runs from its own disk, or is paused. */
function alive(guest: StoredGuest): StoredGuest {
  if (hasScreen(guest) && guest.rescue === null) return guest;
  throw new DriverError("InstanceInvalidState", "the guest does not run, or is rescued");
}

/** Takes the time that was ordered, and tells of it as of memory that is copied; ends early when told. */
async function precopy(
  { spec }: StoredGuest,
  { abort, hurry, closing }: Leaving & { closing: AbortSignal },
  tell: (it: LiveProgress) => void,
): Promise<void> {
  const all = timeOf(spec.metadata, "live_migration");
  const [memory_total, disk_total] = [spec.memory_mb * MIB, spec.disk_gb * GIB];
  const signal = AbortSignal.any([abort.signal, hurry.signal, closing]);
  for (let ms = 0; !abort.signal.aborted; ms += STEP_MS) {
    const over = ms >= all || hurry.signal.aborted;
    const memory_processed = over ? memory_total : Math.floor((memory_total * ms) / all);
    const disk_processed = over ? disk_total : Math.floor((disk_total * ms) / all);
    tell({
      ...{ memory_total, memory_processed, memory_remaining: memory_total - memory_processed },
      ...{ disk_total, disk_processed, disk_remaining: disk_total - disk_processed },
    });
    if (over) return;
    await sleep(STEP_MS, undefined, { signal }).catch(() => undefined);
    closing.throwIfAborted();
  }
}

/** The first line that comes; rejects when the stream ends before. */
async function readLine(stream: Duplex): Promise<string> {
  const lines = createInterface({ input: stream });
  const ended = new AbortController();
  stream.once("close", () => ended.abort(refused("the way to the other host broke")));
  lines.once("close", () => ended.abort(refused("the way to the other host broke")));
  try {
    const [line] = (await once(lines, "line", { signal: ended.signal })) as [string];
    return line;
  } finally {
    lines.removeAllListeners("close");
    lines.close();
  }
}
