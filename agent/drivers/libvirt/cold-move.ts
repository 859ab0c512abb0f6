/**
 * A guest that is off goes to another host, or becomes another one here, in its files (nova/virt/libvirt/driver.py:
 * migrate_disk_and_power_off, finish_migration, finish_revert_migration). Its disk leans on its image alone, of which each host has its own verified copy; so the overlay
 * travels, and is put on the copy that is here.
 *
 * What comes was another host's: no disk of it may name a file of this one, and no format is guessed.
 */
import { existsSync } from "node:fs";
import { open, readdir, rm, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import type { GuestSpec } from "../../../functions/protocol/methods.ts";
import { makeConfigDrive } from "../../config-drive-image.ts";
import { Refused } from "../../image-inspect/image-bytes.ts";
import { ownDiskSizeOf } from "../../image-inspect/inspect.ts";
import { asideOf, bringBack, putAside, readAside, setReplaced } from "../aside.ts";
import { DriverError, type FinishOrder, type GuestDisk } from "../driver.ts";
import { buildFailed, checkHardware, define, describe, lookupOurs, modeOf, type Place } from "./build.ts";
import { diskBytes, grow, rebase } from "./disk.ts";
import type { GuestDisk as DomainDisk } from "./disk-xml.ts";
import { type EmptyDisk, emptyDisksOf, makeEmptyDisks } from "./empty-disk.ts";
import { CONFIG_DRIVE, DISK, isEmptyDisk, movesAlong, SWAP } from "./guest-folder.ts";
import { find, runs, stop } from "./guests.ts";
import type { Domain, Libvirt } from "./procedures.ts";
import { endRescue } from "./rescue.ts";

/** Puts a guest that is off aside. A rescue that was left ends: its disk does not travel. */
export async function putGuestAside(
  libvirt: Libvirt,
  domain: Domain,
  { folder, migration }: { folder: string; migration: string },
): Promise<void> {
  await endRescue(libvirt, domain, folder);
  await putAside(folder, { migration, description: await libvirt.storedXml(domain) });
}

/** The guest as it was before it was put aside; it is off. One that was not is left as it is. */
export async function bringGuestBack(libvirt: Libvirt, uuid: string, folder: string): Promise<void> {
  await bringBack(folder, async (description) => {
    const domain = await find(libvirt, uuid);
    if (domain) await stop(libvirt, domain);
    await libvirt.define(description);
  });
}

/** The files that go to another host of a guest that was put aside for this migration; null when none was. */
export async function disksOf(folder: string, migration: string): Promise<GuestDisk[] | null> {
  if ((await readAside(folder))?.migration !== migration) return null;
  const aside = asideOf(folder);
  const names = (await readdir(aside)).filter(movesAlong).toSorted();
  return names.map((name) => ({ name, path: join(aside, name) }));
}

/** Where each file of a guest that is to come is to be written. */
export async function prepareDisks(libvirt: Libvirt, place: Place, spec: GuestSpec): Promise<(name: string) => string> {
  checkHardware(place, spec);
  const found = await lookupOurs(libvirt, place);
  if (found && runs(found)) throw new DriverError("MigrationError", "the guest runs on this host already");
  const basePath = await place.image(spec.image);
  await place.instances.make(place.uuid, modeOf(place), "MigrationError");
  await checkRoom(place.folder, [
    [DISK, await diskBytes({ spec, basePath })],
    ...emptyDisksOf(spec).map(({ name, bytes }): [string, number] => [name, bytes]),
  ]);
  return (name) => {
    if (!movesAlong(name)) throw new DriverError("InvalidCall", "a guest has no file of that name");
    return join(place.folder, name);
  };
}

/** Whether files of these sizes have room, with what of them is there already (nova: _assert_dest_node_has_enough_disk). */
async function checkRoom(folder: string, files: readonly (readonly [name: string, bytes: number])[]): Promise<void> {
  let missing = 0;
  for (const [name, bytes] of files) {
    const there = await stat(join(folder, name)).catch(() => null);
    missing += Math.max(0, bytes - (there?.blocks ?? 0) * 512);
  }
  await needRoom(folder, missing);
}

/** Rejects with InsufficientFreeDisk unless `folder` has room for so many bytes. */
export async function needRoom(folder: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize >= bytes) return;
  throw new DriverError("InsufficientFreeDisk", "the host has no room for the guest's disks");
}

/** Makes a guest of the files that have come, or are `from`'s. May be cut off and done again at any point. */
export async function finishMigration(
  libvirt: Libvirt,
  place: Place,
  { spec, start, from }: FinishOrder,
  signal: AbortSignal,
): Promise<void> {
  // First: where it cannot be made it can be rebuilt, and its former host is to leave its files alone all the same.
  if (from === undefined) await place.instances.need(place.uuid, "MigrationError");
  else await place.instances.take(place.uuid, from);
  checkHardware(place, spec);
  const found = await lookupOurs(libvirt, place);
  if (found && runs(found)) return;
  const basePath = await place.image(spec.image);
  // That host was lost before it had made the disk.
  const isBegun = from === undefined || existsSync(join(place.folder, DISK));
  const making = { spec, basePath };
  const domain = await (isBegun ? ofFiles(libvirt, place, making, signal) : define(libvirt, place, making, signal));
  if (start) await libvirt.start(domain).catch(buildFailed);
}

async function ofFiles(
  libvirt: Libvirt,
  place: Place,
  { spec, basePath }: { spec: GuestSpec; basePath: string },
  signal: AbortSignal,
): Promise<Domain> {
  const disks = await ownDisks(place, spec, basePath);
  const emptyDisks = await emptyDisksFor(place, spec, signal);
  const configDrive = await configDriveFor(place, spec, signal);
  signal.throwIfAborted();
  const domain = await describe(libvirt, place, spec, { disks, emptyDisks, configDrive });
  await setReplaced(place.folder);
  return domain;
}

async function ownDisks({ folder }: Place, spec: GuestSpec, basePath: string): Promise<DomainDisk[]> {
  const path = join(folder, DISK);
  const format = spec.image.disk_format;
  const cdrom: DomainDisk[] = format === "iso" ? [{ kind: "cdrom", path: basePath }] : [];
  const size = await diskBytes({ spec, basePath });
  if (format === "iso" && size === 0) return cdrom;
  const base = format === "iso" ? null : { path: basePath, format };
  const has = await ownDiskSizeOf(path, { overlay: base !== null }).catch(unusable);
  if (size < has) throw new DriverError("MigrationError", `the guest's disk of ${has} bytes cannot shrink to ${size}`);
  if (base) await rebase(path, base);
  if (size > has) await grow(path, size);
  return [...cdrom, { kind: "disk", path, base }];
}

function unusable(error: unknown): never {
  const why = error instanceof Refused ? `it ${error.message}` : "it has not come";
  throw new DriverError("MigrationError", `the guest's disk cannot be used: ${why}`, { cause: error });
}

/** The ephemeral disks that came, grown to their sizes, and new ones in place of those that did not; no others. */
async function emptyDisksFor(place: Place, spec: GuestSpec, signal: AbortSignal): Promise<string[]> {
  const wanted = emptyDisksOf(spec);
  const names = new Set(wanted.map(({ name }) => name));
  const others = (await readdir(place.folder)).filter((name) => isEmptyDisk(name) && !names.has(name));
  for (const name of others) await rm(join(place.folder, name));
  const missing: EmptyDisk[] = [];
  for (const disk of wanted) {
    const path = join(place.folder, disk.name);
    const size = (await stat(path).catch(() => null))?.size;
    // Nothing on a swap disk is worth keeping.
    if (disk.name === SWAP && size !== disk.bytes) await rm(path, { force: true });
    if (!existsSync(path)) missing.push(disk);
    else if (size !== undefined && size < disk.bytes) await extend(path, disk.bytes);
  }
  await makeEmptyDisks(missing, place, signal);
  return wanted.map(({ name }) => join(place.folder, name));
}

async function extend(path: string, bytes: number): Promise<void> {
  const file = await open(path, "r+");
  await file.truncate(bytes).finally(() => file.close());
}

/** The drive that came: the guest was told by it who it is. */
async function configDriveFor(place: Place, spec: GuestSpec, signal: AbortSignal): Promise<string | null> {
  const path = join(place.folder, CONFIG_DRIVE);
  return existsSync(path) ? path : makeConfigDrive(path, { uuid: place.uuid, spec }, signal);
}
