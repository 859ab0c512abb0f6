/**
 * A guest's disks, by qemu-img. No format is ever guessed: a raw image whose first bytes say "qcow2 with a backing
 * file" would otherwise show the guest any file of the host (CVE-2008-2004, CVE-2024-32498).
 */
import { execFile } from "node:child_process";
import { join } from "node:path";
import type { GuestSpec, ImageRef } from "../../../functions/protocol/methods.ts";
import { virtualSizeOf } from "../../image-inspect/inspect.ts";
import { DriverError } from "../driver.ts";
import type { GuestDisk } from "./disk-xml.ts";
import { INSTALL } from "./endpoint.ts";

/** As Nova limits qemu-img (nova/privsep/qemu.py: QEMU_IMG_LIMITS): a crafted image can make it eat the host. */
const LIMITS = ["--cpu=30", `--as=${1 << 30}`];
const TIMEOUT_MS = 60_000;
const OUTPUT_MAX_BYTES = 1 << 20;
const GIB = 2 ** 30;
const NEVER = new AbortController().signal;

type Limits = { prlimit: string[]; timeout: number };
const QUICK: Limits = { prlimit: LIMITS, timeout: TIMEOUT_MS };
/** For what takes as long as the disk is large: the guest's own disk, made by us, is no crafted image. */
const UNLIMITED: Limits = { prlimit: [], timeout: 0 };

function qemuImg(args: string[], signal: AbortSignal, { prlimit, timeout } = QUICK): Promise<string> {
  const options = { signal, timeout, maxBuffer: OUTPUT_MAX_BYTES, env: { ...process.env, LC_ALL: "C" } };
  return new Promise((resolve, reject) => {
    execFile("prlimit", [...prlimit, "qemu-img", ...args], options, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout);
      if (signal.aborted) return reject(error);
      const cause = { cause: new Error(stderr.trim() || error.message) };
      if (/No space left|Disk quota exceeded/.test(stderr)) {
        return reject(new DriverError("InsufficientFreeDisk", "the host has no room for the guest's disk", cause));
      }
      if (error.code === "ENOENT" || error.code === 127 || /failed to execute qemu-img/.test(stderr)) {
        return reject(new DriverError("HypervisorUnavailable", `qemu-img is not there; install it: ${INSTALL}`, cause));
      }
      reject(new DriverError("ImageUnacceptable", "qemu-img could not read the image", cause));
    });
  });
}

/** A file on which a disk leans. */
export type Base = { path: string; format: "raw" | "qcow2" };

/**
 * Copies a qcow2 disk with all that lies under it, which is `base` if that is given, into one compressed qcow2 file.
 * Rejects with the signal's reason.
 */
export async function compress(disk: string, path: string, signal: AbortSignal, base?: Base): Promise<void> {
  const from = base === undefined ? ["-f", "qcow2", disk] : [onBase(disk, base)];
  try {
    await qemuImg(["convert", "-q", "-O", "qcow2", "-c", ...from, path], signal, UNLIMITED);
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof DriverError) || error.code !== "ImageUnacceptable") throw error;
    throw new DriverError("Unexpected", "the guest's disk could not be copied", { cause: error.cause });
  }
}

/** An overlay on that base, whichever file it names itself (https://www.qemu.org/docs/master/system/images.html). */
function onBase(disk: string, { path, format }: Base): string {
  const file = (filename: string) => ({ driver: "file", filename });
  return `json:${JSON.stringify({ driver: "qcow2", file: file(disk), backing: { driver: format, file: file(path) } })}`;
}

export type DiskOrder = { folder: string; spec: GuestSpec; basePath: string };

/**
 * The size of the guest's own disk in bytes: its flavor's, or its image's where the flavor says none. Rejects with
 * ImageUnacceptable, or with BuildAbortException when the image does not fit into the flavor's.
 */
export async function diskBytes({ spec, basePath }: Pick<DiskOrder, "spec" | "basePath">): Promise<number> {
  const asked = spec.disk_gb * GIB;
  const virtual = await virtualSizeOf(basePath, spec.image);
  if (spec.image.disk_format === "iso") return asked;
  if (asked > 0 && virtual > asked) throw tooSmall(asked, virtual);
  return Math.max(asked, virtual);
}

/** nova: FlavorDiskSmallerThanImage. */
function tooSmall(flavor: number, image: number): DriverError {
  const sizes = `Flavor disk is ${flavor} bytes, image is ${image} bytes.`;
  return new DriverError("BuildAbortException", `Flavor's disk is too small for requested image. ${sizes}`);
}

/**
 * Makes the guest's disks in its folder, which `renew` makes anew. The disks are in boot order: an iso image boots before
 * the blank disk next to it; any other image lies under a qcow2 overlay, never written.
 */
export async function buildDisks(
  order: DiskOrder & { renew(): Promise<void> },
  signal: AbortSignal,
): Promise<GuestDisk[]> {
  const { folder, spec, basePath } = order;
  const path = join(folder, "disk");
  const size = await diskBytes(order);
  await order.renew();
  const format = spec.image.disk_format;
  if (format !== "iso") return [await overlay({ path, basePath, format, size }, signal)];
  const cdrom: GuestDisk = { kind: "cdrom", path: basePath };
  if (size === 0) return [cdrom];
  await qemuImg(["create", "-q", "-f", "qcow2", path, String(size)], signal);
  return [cdrom, { kind: "disk", path, base: null }];
}

/** Makes the disk that a rescue boots, of its image's own size, in place of an earlier one. */
export async function buildRescueDisk(
  { path, image, basePath }: { path: string; image: ImageRef; basePath: string },
  signal: AbortSignal,
): Promise<GuestDisk> {
  const format = image.disk_format;
  const size = await virtualSizeOf(basePath, image);
  if (format === "iso") return { kind: "cdrom", path: basePath };
  return overlay({ path, basePath, format, size }, signal);
}

type Overlay = { path: string; basePath: string; format: "raw" | "qcow2"; size: number };

async function overlay({ path, basePath, format, size }: Overlay, signal: AbortSignal): Promise<GuestDisk> {
  await qemuImg(["create", "-q", "-f", "qcow2", "-F", format, "-b", basePath, path, String(size)], signal);
  return { kind: "disk", path, base: { path: basePath, format } };
}

/** Puts an overlay that another host made on this host's copy of its image. Nothing of the disk is read or written but its header. */
export async function rebase(path: string, base: Base): Promise<void> {
  await qemuImg(["rebase", "-u", "-f", "qcow2", "-F", base.format, "-b", base.path, path], NEVER);
}

/** Makes the disk as large as `size`, bytes. */
export async function grow(path: string, size: number): Promise<void> {
  await qemuImg(["resize", "-q", "-f", "qcow2", path, String(size)], NEVER);
}

/** An empty disk to which another host's is to be brought, on this host's copy of its image if it has one. */
export async function makeTarget(
  path: string,
  { base, size }: { base: Base | null; size: number },
  signal: AbortSignal,
): Promise<void> {
  if (base) await overlay({ path, basePath: base.path, format: base.format, size }, signal);
  else await qemuImg(["create", "-q", "-f", "qcow2", path, String(size)], signal);
}
