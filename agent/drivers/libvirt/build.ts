/** How a guest comes to be: its disks, its description, its first start (nova/virt/libvirt/driver.py: spawn, rebuild). */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { GuestSpec, ImageRef } from "../../../functions/protocol/methods.ts";
import { makeConfigDrive } from "../../config-drive-image.ts";
import { type DriverContext, DriverError, type RebuildOrder } from "../driver.ts";
import { cpuTune } from "./cpu-xml.ts";
import { buildDisks, diskBytes } from "./disk.ts";
import { type DomainPlan, domainXml } from "./domain-xml.ts";
import { emptyDisksOf, makeEmptyDisks } from "./empty-disk.ts";
import { toDriverError } from "./errors.ts";
import { CONFIG_DRIVE, CONSOLE_LOG, NVRAM } from "./guest-folder.ts";
import { lookup, runs, stop } from "./guests.ts";
import type { VirtType } from "./hypervisor.ts";
import type { Instances } from "./instances.ts";
import type { Domain, Libvirt } from "./procedures.ts";
import { PASSABLE, PRIVATE } from "./reach.ts";
import { endRescue } from "./rescue.ts";

/** Where a guest is made. */
export type Place = {
  uuid: string;
  /** The guest's own, one of `instances`. */
  folder: string;
  instances: Instances;
  virtType: VirtType;
  /** What the host chooses of its guests' hardware. */
  host: Pick<DomainPlan, "machine" | "cpu" | "network">;
  /** Whether libvirt can limit a guest's CPUs: one that runs as a user has no cgroups. */
  limitsCpus: boolean;
  /** Whether QEMU has a user of its own: see reach.ts. */
  relabels: boolean;
  /** The path of an image that QEMU may read. */
  image(ref: ImageRef): Promise<string>;
  log: DriverContext["log"];
};

/** A domain is defined only after its disk is whole; so one that has its folder needs nothing but to run. */
export async function spawn(libvirt: Libvirt, place: Place, spec: GuestSpec, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  checkHardware(place, spec);
  await place.instances.need(place.uuid);
  const found = await lookupOurs(libvirt, place);
  if (found && runs(found)) return;
  const basePath = await place.image(spec.image);
  const kept = found !== null && existsSync(place.folder);
  if (kept) await endRescue(libvirt, found, place.folder);
  const domain = kept ? found : await define(libvirt, place, { spec, basePath }, signal);
  signal.throwIfAborted();
  await libvirt.start(domain).catch(buildFailed);
}

/** The domain stays defined all the while: a guest that is half rebuilt is still known to be ours. */
export async function rebuild(
  libvirt: Libvirt,
  place: Place,
  { spec, start }: RebuildOrder,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  checkHardware(place, spec);
  await place.instances.need(place.uuid);
  const found = await lookupOurs(libvirt, place);
  const basePath = await place.image(spec.image);
  // Refused while the guest still has its disk, if it is to be.
  await diskBytes({ spec, basePath });
  if (found) await stop(libvirt, found);
  const domain = await define(libvirt, place, { spec, basePath }, signal);
  signal.throwIfAborted();
  if (start) await libvirt.start(domain).catch(buildFailed);
}

export async function lookupOurs(libvirt: Libvirt, { uuid }: Place): Promise<Domain | null> {
  const found = await lookup(libvirt, uuid);
  if (found?.ours === false) {
    throw new DriverError("BuildAbortException", "the host has a domain of this uuid that edgenova did not make");
  }
  return found?.domain ?? null;
}

type Source = { spec: GuestSpec; basePath: string };

/** Makes the guest's disks anew, and its domain. */
export async function define(
  libvirt: Libvirt,
  place: Place,
  { spec, basePath }: Source,
  signal: AbortSignal,
): Promise<Domain> {
  const { uuid, folder, instances, log } = place;
  const renew = () => instances.renew(uuid, modeOf(place));
  const disks = await buildDisks({ folder, spec, basePath, renew }, signal);
  const emptyDisks = await makeEmptyDisks(emptyDisksOf(spec), { uuid, folder, log }, signal);
  const configDrive = await makeConfigDrive(join(folder, CONFIG_DRIVE), { uuid, spec }, signal);
  signal.throwIfAborted();
  return describe(libvirt, place, spec, { disks, emptyDisks, configDrive });
}

/** The mode of the guest's folder. */
export const modeOf = ({ relabels }: Pick<Place, "relabels">) => (relabels ? PASSABLE : PRIVATE);

/** Defines the guest's domain, of disks that are there. */
export function describe(
  libvirt: Libvirt,
  place: Place,
  spec: GuestSpec,
  disks: Pick<DomainPlan, "disks" | "emptyDisks" | "configDrive">,
): Promise<Domain> {
  return libvirt.define(domainXml({ ...planOf(place, spec), ...disks })).catch(buildFailed);
}

/** The guest as far as it is known before anything of it is made. */
function planOf({ uuid, folder, virtType, relabels, host }: Place, spec: GuestSpec): DomainPlan {
  const files = { consoleLog: join(folder, CONSOLE_LOG), nvram: join(folder, NVRAM) };
  return { uuid, spec, virtType, relabels, ...host, ...files, disks: [], emptyDisks: [], configDrive: null };
}

/** Rejects what cannot be had here before anything is made, or lost. */
export function checkHardware(place: Place, spec: GuestSpec): void {
  domainXml(planOf(place, spec));
  if (cpuTune(spec.hardware?.limits) === "" || place.limitsCpus) return;
  throw new DriverError("NotSupported", "quota:cpu_* needs a host whose libvirt runs as root (qemu:///system)");
}

export function buildFailed(error: unknown): never {
  const told = toDriverError(error);
  if (told.code !== "Unexpected") throw told;
  throw new DriverError("BuildAbortException", "the hypervisor could not build the guest", { cause: error });
}
