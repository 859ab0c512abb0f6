/** Whether a guest that runs can go on at another host (nova: check_can_live_migrate_source and _destination). */
import { basename, dirname } from "node:path";
import type { LiveMigrateData } from "../../../functions/protocol/move.ts";
import { type ArrivalQuestion, DriverError } from "../driver.ts";
import type { Place } from "./build.ts";
import { lookupOurs } from "./build.ts";
import { needRoom } from "./cold-move.ts";
import { LibvirtError } from "./errors.ts";
import { DISK, movesAlong } from "./guest-folder.ts";
import type { Instances } from "./instances.ts";
import { DOMAIN_STATE, type Domain, type Libvirt } from "./procedures.ts";
import { isRescued } from "./rescue.ts";
import { readElements } from "./xml.ts";

const DISK_ELEMENT = "domain/devices/disk";
type MovingDisk = LiveMigrateData["disks"][number];

const refuse = (why: string): never => {
  throw new DriverError("MigrationError", why);
};

/** InstanceInvalidState unless the guest runs from its own disk, or is paused. */
export async function needAlive(libvirt: Libvirt, domain: Domain, folder: string): Promise<void> {
  const state = await libvirt.state(domain);
  const alive: number[] = [DOMAIN_STATE.RUNNING, DOMAIN_STATE.BLOCKED, DOMAIN_STATE.PAUSED];
  if (!alive.includes(state)) throw new DriverError("InstanceInvalidState", "the guest does not run");
  if (isRescued(folder)) throw new DriverError("InstanceInvalidState", "the guest is rescued");
}

/** The disks of a live domain whose bytes the migration brings: those in the guest's folder that it can write. */
export function writableDisks(xml: string, folder: string): { name: string; target: string; format: string }[] {
  const elements = readElements(xml);
  return elements
    .filter(({ path, attributes }) => path === DISK_ELEMENT && attributes.device === "disk")
    .flatMap((disk) => {
      const inside = (name: string) =>
        elements.find(({ path, parent }) => parent === disk && path === `${DISK_ELEMENT}/${name}`)?.attributes ?? {};
      const { file = "" } = inside("source");
      if (dirname(file) !== folder) return [];
      return [{ name: basename(file), target: inside("target").dev ?? "", format: inside("driver").type ?? "" }];
    });
}

/** Those disks, with their sizes. */
export async function movingDisks(libvirt: Libvirt, domain: Domain, folder: string): Promise<MovingDisk[]> {
  const disks = writableDisks(await libvirt.migration.xml(domain, "live"), folder);
  return Promise.all(
    disks.map(async ({ name, target, format }) => {
      const { capacity, allocation } = await libvirt.migration.blockInfo(domain, target);
      return { name, format: format === "qcow2" ? "qcow2" : "raw", capacity, allocation };
    }),
  );
}

export async function checkSource(libvirt: Libvirt, domain: Domain, instances: Instances): Promise<LiveMigrateData> {
  const folder = instances.folder(domain.uuid);
  await needAlive(libvirt, domain, folder);
  const xml = await libvirt.migration.xml(domain, "live");
  const elements = readElements(xml);
  const cpu = elements.find(({ path }) => path === "domain/cpu");
  const disks = await movingDisks(libvirt, domain, folder);
  return {
    cpu: cpu ? xml.slice(cpu.start, cpu.end) : "",
    machine: elements.find(({ path }) => path === "domain/os/type")?.attributes.machine ?? "",
    hypervisor_version: await libvirt.version(),
    disks,
    probe: await instances.probe(domain.uuid),
  };
}

/** Whether the guest's disks are to come with it; MigrationError with why it cannot come. */
export async function checkDestination(
  libvirt: Libvirt,
  place: Place,
  { data, block_migration }: Pick<ArrivalQuestion, "data" | "block_migration">,
): Promise<{ block_migration: boolean }> {
  const { uuid, instances } = place;
  if (await lookupOurs(libvirt, place)) refuse("the guest is on this host already");
  const shared = await instances.sees(uuid, data.probe);
  const block = block_migration ?? !shared;
  if (!block && !shared) refuse("the guest's disks are on no storage that the two hosts share");
  if (block && shared) refuse("a block migration is not for disks on storage that the two hosts share");
  if (block) await instances.need(uuid, "MigrationError");
  checkNames(data);
  if ((await libvirt.version()) < data.hypervisor_version) refuse("this host's hypervisor is older than the guest's");
  await checkMachine(libvirt, place, data);
  const needed = block ? data.disks.reduce((sum, { allocation }) => sum + allocation, 0) : 0;
  await needRoom(instances.path, needed).catch(() => refuse("the host has no room for the guest's disks"));
  return { block_migration: block };
}

/** What another host says of a guest becomes paths here. */
export function checkNames({ disks }: LiveMigrateData): void {
  for (const { name, format } of disks) {
    if (!movesAlong(name) || (name === DISK) !== (format === "qcow2"))
      refuse("the guest has a disk that is unknown here");
  }
}

async function checkMachine(libvirt: Libvirt, { virtType }: Place, { cpu, machine }: LiveMigrateData): Promise<void> {
  const asked = { machine, virtType };
  const refused = (why: string) => (error: unknown) => {
    if (!(error instanceof LibvirtError)) throw error;
    throw new DriverError("MigrationError", why, { cause: error });
  };
  await libvirt.migration.domainCapabilities(asked).catch(refused(`this host has no machine ${machine} (${virtType})`));
  if (cpu === "") return;
  const offered = await libvirt.migration
    .offersCpu(cpu, asked)
    .catch(refused("this host does not know the guest's CPU"));
  if (!offered) refuse("this host has not all that the guest's CPU has");
}
