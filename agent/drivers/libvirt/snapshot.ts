/**
 * A standalone copy of a guest's root disk, compressed (nova: virt/libvirt/driver.py snapshot).
 *
 * A guest that is off: qemu-img reads its overlay and what lies under it.
 *
 * A guest that runs, or is paused: its disk changes below a reader, and QEMU holds parts of the qcow2 tables in memory;
 * so QEMU itself makes the copy, by libvirt's push backup (virDomainBackupBegin, libvirt 6.0 and QEMU 4.2). The copy is
 * of one moment, that of its begin: QEMU saves each old block before the guest overwrites it. The guest goes on, its
 * definition stays as it is, and the job always ends, where the mirror that Nova makes (virDomainBlockRebase) runs
 * after a guest that writes faster than it copies. What a file system in the guest had not written yet is not in it,
 * as after a power cut, unless the guest's agent has it hold still for that moment. The copy has all that lies under
 * the overlay, but not compressed: qemu-img does that after it.
 */
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { DriverError } from "../driver.ts";
import { type Base, compress } from "./disk.ts";
import { isLibvirtError, unless, VIR_ERR } from "./errors.ts";
import { DISK, SCRATCH } from "./guest-folder.ts";
import { runs } from "./guests.ts";
import { type Domain, JOB, type Libvirt } from "./procedures.ts";
import { quiesced } from "./quiesce.ts";
import { escapeXml, readElements } from "./xml.ts";

const POLL_MS = 200;
const NO_DISK = "the guest has no disk of which to take a snapshot";

/** Copies the disk in the guest's `folder` to `path`. Rejects with the signal's reason, or `DriverError`. */
export async function snapshotDisk(
  libvirt: Libvirt,
  domain: Domain,
  { folder, path }: { folder: string; path: string },
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  const [disk, scratch] = [join(folder, DISK), join(folder, SCRATCH)];
  if (!existsSync(disk)) throw new DriverError("NotSupported", NO_DISK);
  await rm(scratch, { force: true });
  if (!runs(domain)) return compress(disk, path, signal, baseOf(await libvirt.storedXml(domain), disk));
  try {
    await copyLive(libvirt, domain, { folder, disk, scratch }, signal);
    await compress(scratch, path, signal);
  } finally {
    await rm(scratch, { force: true });
  }
}

async function copyLive(
  libvirt: Libvirt,
  domain: Domain,
  { folder, disk, scratch }: { folder: string; disk: string; scratch: string },
  signal: AbortSignal,
): Promise<void> {
  const xml = await libvirt.xml(domain);
  const target = targetOf(xml, disk);
  if (target === null) throw new DriverError("NotSupported", NO_DISK);
  await endBackup(libvirt, domain);
  signal.throwIfAborted();
  await quiesced(libvirt, { domain, folder, xml }, () => libvirt.backupBegin(domain, backupXml(target, scratch)));
  for (;;) {
    if (signal.aborted) {
      await endBackup(libvirt, domain);
      signal.throwIfAborted();
    }
    if ((await libvirt.job(domain, "now")) === JOB.NONE) break;
    await sleep(POLL_MS);
  }
  if ((await libvirt.job(domain, "last")) === JOB.COMPLETED) return;
  throw new DriverError("Unexpected", "the hypervisor could not copy the guest's disk");
}

/** Ends a backup that an earlier attempt left under way. Another job, such as a migration, is let be. */
async function endBackup(libvirt: Libvirt, domain: Domain): Promise<void> {
  for (;;) {
    const running = await libvirt.backupXml(domain).catch(unless(VIR_ERR.NO_DOMAIN_BACKUP));
    if (running === undefined) return;
    await libvirt.abortJob(domain).catch((error: unknown) => {
      // It ended by itself in between, or is ending already.
      if (!isLibvirtError(error, VIR_ERR.OPERATION_INVALID)) throw error;
    });
    await sleep(POLL_MS);
  }
}

/** The name that the guest's device has of the disk whose file is `path`; null when no device has it. */
export function targetOf(domainXml: string, path: string): string | null {
  const elements = readElements(domainXml);
  const source = elements.find((it) => it.path === "domain/devices/disk/source" && it.attributes.file === path);
  if (source === undefined) return null;
  const target = elements.find((it) => it.path === "domain/devices/disk/target" && it.parent === source.parent);
  return target?.attributes.dev ?? null;
}

/**
 * The file below the disk whose file is `path`, as the guest's description has it; undefined when it stands on its own.
 * What the disk itself names is of the host that made it, and the two may see it by different paths.
 */
export function baseOf(domainXml: string, path: string): Base | undefined {
  const elements = readElements(domainXml);
  const source = elements.find((it) => it.path === "domain/devices/disk/source" && it.attributes.file === path);
  const below = "domain/devices/disk/backingStore";
  const chain = elements.find((it) => it.path === below && it.parent === source?.parent);
  const inside = (name: string) => elements.find((it) => it.path === `${below}/${name}` && it.parent === chain);
  const { file } = inside("source")?.attributes ?? {};
  if (source === undefined || chain === undefined || file === undefined) return undefined;
  return { path: file, format: inside("format")?.attributes.type === "qcow2" ? "qcow2" : "raw" };
}

/** Disks that are not named are not copied. */
export function backupXml(target: string, path: string): string {
  return `<domainbackup mode='push'><disks>
  <disk name='${escapeXml(target)}' type='file' backup='yes'>
    <driver type='qcow2'/><target file='${escapeXml(path)}'/>
  </disk>
</disks></domainbackup>`;
}
