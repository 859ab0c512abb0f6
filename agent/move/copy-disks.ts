/** A guest's disks are copied where both ends are on one file system: shared where that can be, and holes stay holes. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { open, rename, stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { promisify } from "node:util";
import { DriverError, type GuestDisk } from "../drivers/driver.ts";
import { reportOf } from "../progress.ts";
import { syncDirectory } from "../state-dir.ts";

const TELL_MS = 500;
const BLOCK_BYTES = 512;
const PART = ".part";

const run = promisify(execFile);

/**
 * Copies each disk to where `pathOf` wants one of its name; one that an earlier try has brought there is whole. Rejects
 * with the signal's reason, or with DriverError: InsufficientFreeDisk or MigrationError.
 */
export async function copyDisks(
  disks: readonly GuestDisk[],
  pathOf: (name: string) => string,
  signal: AbortSignal,
): Promise<void> {
  const targets = disks.map(({ name, path }) => ({ from: path, to: pathOf(name) }));
  const of = sum(await Promise.all(disks.map(({ path }) => bytesOf(path))));
  const report = reportOf();
  const tell = async () => {
    const there = targets.flatMap(({ to }) => [bytesOf(to), bytesOf(`${to}${PART}`)]);
    report("disk", { bytes: Math.min(of, sum(await Promise.all(there))), of });
  };
  const timer = setInterval(() => void tell(), TELL_MS);
  try {
    for (const { from, to } of targets) {
      if (!existsSync(to)) await copy(from, to, signal);
    }
  } finally {
    clearInterval(timer);
  }
}

/** The copy has its name when it is whole, also after a power cut. */
async function copy(from: string, to: string, signal: AbortSignal): Promise<void> {
  const part = `${to}${PART}`;
  const args = ["--reflink=auto", "--sparse=always", "--", from, part];
  const copying = run("cp", args, { signal, env: { ...process.env, LC_ALL: "C" } });
  const ended = new Promise((resolve) => copying.child.once("close", resolve));
  try {
    await copying;
  } catch (cause) {
    // One that is killed may live on a little, and must not write into another try's file.
    await ended;
    signal.throwIfAborted();
    const full = /No space left|Disk quota exceeded/.test(String(cause));
    if (full) throw new DriverError("InsufficientFreeDisk", "the host has no room for the guest's disks", { cause });
    throw new DriverError("MigrationError", `the guest's ${basename(to)} could not be copied`, { cause });
  }
  const file = await open(part, "r");
  await file.sync().finally(() => file.close());
  await rename(part, to);
  syncDirectory(dirname(to));
}

/** What a file takes on the disk; 0 for none. */
async function bytesOf(path: string): Promise<number> {
  const { blocks } = await stat(path).catch(() => ({ blocks: 0 }));
  return blocks * BLOCK_BYTES;
}

const sum = (numbers: readonly number[]) => numbers.reduce((all, one) => all + one, 0);
