/** A config drive's files as an ISO 9660 image, or as a plain tree (nova/virt/configdrive.py). */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdir, open, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import type { GuestSpec } from "../functions/protocol/methods.ts";
import { configDriveFiles, type DriveFiles, SEED_BYTES } from "./config-drive.ts";
import { DriverError } from "./drivers/driver.ts";
import { diskIsFull, networkReason } from "./failure.ts";

/** nova: mkisofs_cmd; they take the same options, and the first that is on the PATH is used. */
const MKISOFS = ["genisoimage", "xorrisofs", "mkisofs"];
const INSTALL = "apt-get install genisoimage";
const TIMEOUT_MS = 60_000;
/** What cloud-init looks for. */
const LABEL = "config-2";
const PRIVATE = 0o600;

const run = promisify(execFile);

type Guest = { uuid: string; spec: GuestSpec };

/** The files of a guest's config drive, with fresh chance in them; null when it is to have none. */
function filesOf({ uuid, spec }: Guest): DriveFiles | null {
  const drive = spec.config_drive;
  return drive && configDriveFiles({ uuid, spec, drive, seed: randomBytes(SEED_BYTES) });
}

/** Writes the guest's drive as files below `dir`, for their owner alone; what was there is removed. */
export async function writeConfigDrive(dir: string, guest: Guest): Promise<void> {
  await rm(dir, { recursive: true, force: true });
  for (const [path, bytes] of filesOf(guest) ?? []) {
    const file = join(dir, path);
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    await writeFile(file, bytes, { mode: PRIVATE });
  }
}

/**
 * Makes the guest's drive at `path`, readable for its owner alone, in place of an earlier one. Returns `path`, or null
 * when the guest is to have none. Rejects with the signal's reason, or with `DriverError`: HypervisorUnavailable when no
 * tool for it is installed, InsufficientFreeDisk, or BuildAbortException.
 */
export async function makeConfigDrive(path: string, guest: Guest, signal: AbortSignal): Promise<string | null> {
  await rm(path, { force: true });
  if (guest.spec.config_drive === null) return null;
  const tree = `${path}.d`;
  try {
    await writeConfigDrive(tree, guest);
    // The tool would make it readable for all; of a file that is there it keeps the mode.
    await (await open(path, "wx", PRIVATE)).close();
    await mkisofs(path, tree, signal);
    return path;
  } catch (error) {
    await rm(path, { force: true });
    signal.throwIfAborted();
    throw failure(error);
  } finally {
    await rm(tree, { recursive: true, force: true });
  }
}

async function mkisofs(path: string, tree: string, signal: AbortSignal): Promise<void> {
  const lax = ["-ldots", "-allow-lowercase", "-allow-multidot", "-l"];
  const args = ["-o", path, ...lax, "-publisher", "edgenova", "-quiet", "-J", "-r", "-V", LABEL, tree];
  for (const program of MKISOFS) {
    try {
      await run(program, args, { signal, timeout: TIMEOUT_MS, env: { ...process.env, LC_ALL: "C" } });
      return;
    } catch (error) {
      if (networkReason(error) !== "ENOENT") throw error;
    }
  }
  throw new DriverError("HypervisorUnavailable", `no tool makes the config drive; install one: ${INSTALL}`);
}

function failure(error: unknown): DriverError {
  if (error instanceof DriverError) return error;
  if (diskIsFull(error)) {
    return new DriverError("InsufficientFreeDisk", "the host has no room for the config drive", { cause: error });
  }
  return new DriverError("BuildAbortException", "the config drive could not be made", { cause: error });
}
