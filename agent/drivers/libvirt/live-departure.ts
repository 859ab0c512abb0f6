/**
 * A running guest's way out (nova/virt/libvirt/driver.py: _live_migration_operation).
 *
 *   here --leaving--> on its way --arrived--> gone: no domain, and no folder, or one that is the other host's
 *     ^                  | failed, or aborted
 *     +------------------+
 *
 * libvirt drives it, peer to peer, by our sockets; its own rule is that the guest runs at one end only. The file `leaving`
 * outlives a crash of the agent: with it, a domain that is not there has arrived.
 *
 * Without its disks (no block migration) the guest goes on at the other end with the files that it has here: the folder is
 * given to that host, and nothing of it is removed. libvirt is told not to judge whether that is safe: it goes by the type
 * of the file system, and by the image, of which each host has its own; the probe has shown that the folder is shared, and
 * QEMU (3.0) drops its host's cache of the disks as it hands them over.
 */
import { existsSync } from "node:fs";
import { open, rm, writeFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Bounded } from "../../move/bandwidth.ts";
import type { MoveLink } from "../../move/moves.ts";
import { type DepartureOrder, DriverError } from "../driver.ts";
import type { QemuUser } from "./capabilities.ts";
import { isLibvirtError, LibvirtError, toDriverError, unless, unlessRefused, VIR_ERR } from "./errors.ts";
import { CONFIG_DRIVE, LEAVING } from "./guest-folder.ts";
import { find, runs } from "./guests.ts";
import type { Instances } from "./instances.ts";
import { joinStreams } from "./joined-streams.ts";
import { movingDisks, needAlive, writableDisks } from "./live-checks.ts";
import type { LiveMonitor } from "./live-monitor.ts";
import { settlePostCopy } from "./live-post-copy.ts";
import { ABOUT, type Arrival, FILE, readArrival, sendFile } from "./live-streams.ts";
import { MIGRATE, type MigrationOrder } from "./migration-procedures.ts";
import {
  disksUri,
  type Leg,
  listenForLegs,
  makeMoveFolder,
  memoryUri,
  moveFolder,
  removeMoveFolder,
} from "./move-sockets.ts";
import { movedXml, type Whereabouts } from "./moved-xml.ts";
import { type Domain, JOB, type Libvirt } from "./procedures.ts";
import type { TypedParam } from "./typed-params.ts";
import { readElements } from "./xml.ts";

const POLL_MS = 200;

export type Departure = DepartureOrder & {
  uuid: string;
  instances: Instances;
  session: boolean;
  user: QemuUser | null;
  link: MoveLink;
};

/** Brings the guest to the other end; `monitor` takes what is asked of the migration meanwhile. */
export async function depart(
  libvirt: Libvirt,
  departure: Departure,
  monitor: LiveMonitor,
): Promise<{ aborted: boolean }> {
  const { uuid, instances, user } = departure;
  const folder = instances.folder(uuid);
  const sockets = moveFolder(uuid, departure);
  const domain = await find(libvirt, uuid);
  if (domain === null) {
    // A call that is repeated: the crash was after the guest had gone.
    if (existsSync(folder) && (await instances.isFree(uuid)) && !existsSync(join(folder, LEAVING))) {
      throw new DriverError("InstanceNotFound", "the hypervisor has no such guest");
    }
  } else if ((await libvirt.migration.postCopy(domain)) !== null) {
    // A call that is repeated: it was cut off when the guest could not come back any more.
    await settlePostCopy(libvirt, domain, new DriverError("MigrationError", "the migration was cut off"));
  } else {
    await instances.need(uuid);
    try {
      await endJob(libvirt, domain);
      await needAlive(libvirt, domain, folder);
    } catch (error) {
      // A call that is repeated after the guest has ended here, with its host: whether it may start, the edge knows.
      if (toDriverError(error).code === "InstanceInvalidState") await rm(join(folder, LEAVING), { force: true });
      throw error;
    }
    const ending = new AbortController();
    let unlisten = () => {};
    try {
      await makeMoveFolder(sockets, user);
      unlisten = await listenForLegs(sockets, user, (leg, socket) => {
        void carry(socket, leg, { ...departure, signal: ending.signal, broken: () => monitor.breakOff() });
      });
      const order = await orderOf(libvirt, domain, { ...departure, folder, sockets, signal: ending.signal });
      const { block_migration, to } = departure;
      const brought = block_migration ? await movingDisks(libvirt, domain, folder) : [];
      const diskBytes = brought.reduce((sum, { capacity }) => sum + capacity, 0);
      await writeFile(join(folder, LEAVING), block_migration ? "" : to, { flush: true });
      monitor.letGo = unlisten;
      const go = (flags: number) =>
        monitor.follow(libvirt, { domain, diskBytes }, () => libvirt.migration.perform(domain, { ...order, flags }));
      await go(order.flags).catch((error: unknown) => {
        if (monitor.postCopying) return settlePostCopy(libvirt, domain, error);
        const permitted = (order.flags & MIGRATE.POSTCOPY) !== 0;
        if (!permitted || monitor.began || !(error instanceof LibvirtError)) throw error;
        // It is permitted, and not asked for: a host may lack it (userfaultfd).
        return go(order.flags & ~MIGRATE.POSTCOPY);
      });
    } catch (error) {
      const aborted = await stayed(libvirt, domain, { error, monitor, folder });
      await removeMoveFolder(sockets);
      if (aborted) return { aborted: true };
      throw failure(error);
    } finally {
      ending.abort();
      unlisten();
    }
  }
  await removeMoveFolder(sockets);
  await leaveNothing(libvirt, uuid, instances);
  return { aborted: false };
}

/** Joins what libvirtd, or QEMU, has opened with the other host. `broken`: that side ended without having said so. */
async function carry(
  socket: Socket,
  leg: Leg,
  { link, signal, broken }: { link: MoveLink; signal: AbortSignal; broken(): void },
): Promise<void> {
  socket.on("error", () => undefined);
  try {
    const stream = await link.open(leg, signal);
    stream.on("error", () => undefined);
    stream.once("close", () => {
      if (!stream.readableEnded && !socket.readableEnded) broken();
    });
    const bounded = leg !== "libvirt" && !link.bandwidth.unlimited;
    joinStreams(socket, stream, bounded ? new Bounded(link.bandwidth) : undefined);
  } catch {
    socket.destroy();
  }
}

/** Ends what a call that was cut off has left under way. */
async function endJob(libvirt: Libvirt, domain: Domain): Promise<void> {
  while ((await libvirt.job(domain, "now")) !== JOB.NONE) {
    await libvirt.abortJob(domain).catch(unlessRefused);
    await sleep(POLL_MS);
  }
}

type Way = Departure & { folder: string; sockets: string; signal: AbortSignal };

async function orderOf(libvirt: Libvirt, domain: Domain, way: Way): Promise<MigrationOrder> {
  const { folder, sockets, options, link, signal, block_migration } = way;
  const arrival = await readArrival(await link.open(ABOUT, signal));
  if (arrival.sockets !== sockets) {
    const why = `the hosts keep sockets in different folders: ${sockets} and ${arrival.sockets}; give both the same TMPDIR`;
    throw new DriverError("MigrationError", why);
  }
  const live = await libvirt.migration.xml(domain, "live");
  const stored = await libvirt.migration.xml(domain, "stored");
  const from: Whereabouts = { folder, base: baseOf(live, folder) };
  if (block_migration) await sendConfigDrive(way);
  const params: TypedParam[] = [
    ["destination_xml", movedXml(live, from, arrival)],
    ["persistent_xml", movedXml(stored, from, arrival)],
    ["migrate_uri", memoryUri(sockets)],
  ];
  if (block_migration) {
    params.push(["disks_uri", disksUri(sockets)]);
    params.push(...writableDisks(live, folder).map(({ target }): TypedParam => ["migrate_disks", target]));
  }
  if (options.live_migration_bandwidth > 0) params.push(["bandwidth", options.live_migration_bandwidth]);
  return { dconnuri: remoteUri(arrival), params, flags: flagsOf(way) };
}

function remoteUri({ uri, sockets }: Arrival): string {
  return `${uri.replace("qemu:", "qemu+unix:")}?socket=${encodeURI(`${sockets}/libvirt`)}`;
}

function flagsOf({ options, block_migration }: Pick<DepartureOrder, "options" | "block_migration">): number {
  const { LIVE, PEER2PEER, PERSIST_DEST, UNDEFINE_SOURCE, ABORT_ON_ERROR } = MIGRATE;
  let flags = LIVE | PEER2PEER | PERSIST_DEST | UNDEFINE_SOURCE | ABORT_ON_ERROR;
  flags |= block_migration ? MIGRATE.NON_SHARED_INC : MIGRATE.UNSAFE;
  if (options.live_migration_permit_post_copy) flags |= MIGRATE.POSTCOPY;
  else if (options.live_migration_permit_auto_converge) flags |= MIGRATE.AUTO_CONVERGE;
  return flags;
}

/** The one file outside of its folder that a guest leans on or boots from: its image. */
function baseOf(xml: string, folder: string): string {
  const disk = readElements(xml).filter(({ path }) => path.startsWith("domain/devices/disk/"));
  return (
    disk.map(({ attributes }) => attributes.file ?? "").find((it) => it !== "" && !it.startsWith(`${folder}/`)) ?? ""
  );
}

/** A disk that the guest only reads is not brought by a migration. */
async function sendConfigDrive({ folder, link, signal }: Way): Promise<void> {
  const path = join(folder, CONFIG_DRIVE);
  if (!existsSync(path)) return;
  const file = await open(path, "r");
  try {
    await sendFile(await link.open(FILE + CONFIG_DRIVE, signal), file);
  } finally {
    await file.close();
  }
}

/** Failures after which the guest does not go on here, as far as is known. */
const UNKNOWN: string[] = ["HypervisorUnavailable", "PostCopyFailed"];

/** After a failure: the guest goes on here. Whether it was aborted. */
async function stayed(
  libvirt: Libvirt,
  domain: Domain,
  { error, monitor, folder }: { error: unknown; monitor: LiveMonitor; folder: string },
): Promise<boolean> {
  // Without libvirt nobody can tell where the guest is; the call is repeated.
  if (!(error instanceof LibvirtError) && UNKNOWN.includes(toDriverError(error).code)) return false;
  if (monitor.paused) await libvirt.resume(domain).catch(unlessRefused);
  await rm(join(folder, LEAVING), { force: true });
  return monitor.aborting && !isLibvirtError(error, VIR_ERR.NO_DOMAIN);
}

function failure(error: unknown): DriverError {
  const told = toDriverError(error);
  if (["HypervisorUnavailable", "MigrationError", "PostCopyFailed"].includes(told.code)) return told;
  const code = error instanceof LibvirtError ? ` (libvirt error ${error.code})` : "";
  const why = error instanceof DriverError ? error.message : `the migration failed, and the guest goes on here${code}`;
  return new DriverError("MigrationError", why, { cause: error });
}

async function leaveNothing(libvirt: Libvirt, uuid: string, instances: Instances): Promise<void> {
  const left = await find(libvirt, uuid);
  if (left && runs(left)) {
    throw new DriverError("MigrationError", "the guest runs on this host, although it has gone");
  }
  await instances.settle(uuid);
  if (left) {
    await libvirt.undefine(left, { files: await instances.isFree(uuid) }).catch(unless(VIR_ERR.NO_DOMAIN));
  }
  await instances.remove(uuid);
}
