/**
 * A guest's ephemeral disks and its swap (nova/virt/libvirt/driver.py: _create_ephemeral, _create_swap;
 * nova/privsep/fs.py). They are raw and sparse, and formatted by the host's own tools: where one of those is missing, its
 * disk is left blank, for the guest to format.
 */
import { execFile } from "node:child_process";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { GuestSpec } from "../../../functions/protocol/methods.ts";
import { diskIsFull, networkReason } from "../../failure.ts";
import { type DriverContext, DriverError } from "../driver.ts";
import { ephemeralDisk, SWAP } from "./guest-folder.ts";

const GIB = 2 ** 30;
const MIB = 2 ** 20;
/** Formatting writes some thousandth of the disk. */
const TIMEOUT_MS = 600_000;
/** Where Debian has these tools, which is on the PATH of root alone. */
const ADMIN_PATHS = "/usr/sbin:/sbin";

const run = promisify(execFile);

export type EmptyDisk = { name: string; bytes: number; format: readonly [program: string, ...options: string[]] };

/** In the order that the guest has them, after its own. */
export function emptyDisksOf({ ephemerals, swap_mb }: Pick<GuestSpec, "ephemerals" | "swap_mb">): EmptyDisk[] {
  const disks = ephemerals.map(({ size, format }, i): EmptyDisk => {
    const force = format === "xfs" ? "-f" : "-F";
    return {
      name: ephemeralDisk(i),
      bytes: size * GIB,
      format: [`mkfs.${format}`, "-q", force, "-L", `ephemeral${i}`],
    };
  });
  return swap_mb === 0 ? disks : [...disks, { name: SWAP, bytes: swap_mb * MIB, format: ["mkswap"] }];
}

/** The guest that they are for, and its folder. */
type Place = { uuid: string; folder: string; log: DriverContext["log"] };

/**
 * Makes them in the guest's new folder, and returns their paths. Rejects with the signal's reason, or with `DriverError`:
 * InsufficientFreeDisk or BuildAbortException.
 */
export async function makeEmptyDisks(
  disks: readonly EmptyDisk[],
  { uuid, folder, log }: Place,
  signal: AbortSignal,
): Promise<string[]> {
  const paths: string[] = [];
  for (const { name, bytes, format } of disks) {
    const path = join(folder, name);
    const [program, ...options] = format;
    try {
      const file = await open(path, "wx", 0o600);
      await file.truncate(bytes).finally(() => file.close());
      const formatted = await runIfThere(program, [...options, path], signal);
      if (!formatted) log("libvirt.disk_left_blank", { server: uuid, disk: name, missing: program });
    } catch (error) {
      signal.throwIfAborted();
      throw failure(error);
    }
    paths.push(path);
  }
  return paths;
}

/** Whether there is such a program; rejects when it fails. */
async function runIfThere(program: string, args: string[], signal: AbortSignal): Promise<boolean> {
  const path = [process.env.PATH, ADMIN_PATHS].filter(Boolean).join(":");
  const env = { ...process.env, LC_ALL: "C", PATH: path };
  try {
    await run(program, args, { signal, timeout: TIMEOUT_MS, env });
    return true;
  } catch (error) {
    if (networkReason(error) === "ENOENT") return false;
    throw error;
  }
}

function failure(error: unknown): DriverError {
  if (diskIsFull(error)) {
    return new DriverError("InsufficientFreeDisk", "the host has no room for the guest's disks", { cause: error });
  }
  return new DriverError("BuildAbortException", "the guest's empty disks could not be made", { cause: error });
}
