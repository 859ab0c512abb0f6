/** Files in the agent's state directory: who may read them, and writing them whole or not at all. */
import { randomUUID } from "node:crypto";
import {
  chmodSync,
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { Failure, networkReason } from "./failure.ts";

export function defaultStateDir(): string {
  return process.getuid?.() === 0 ? "/var/lib/edgenova-agent" : join(homedir(), ".local/state/edgenova-agent");
}

/** Makes the directory, for its owner only. Throws `Failure` when it cannot. */
export function makeStateDir(dir: string): void {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw new Failure(`cannot make the state directory ${dir}: ${networkReason(error)}`, { cause: error });
  }
}

/**
 * Makes `<state>/<name>` so that another user may reach files in it by name: QEMU under libvirt runs as its own user.
 * The state directory itself must then be searchable too; it shows no names to others, and its own files are 0600.
 */
export function makeSharedDir(stateDir: string, name: string): string {
  const dir = join(stateDir, name);
  try {
    chmodSync(stateDir, 0o711);
    mkdirSync(dir, { recursive: true });
    chmodSync(dir, 0o711);
  } catch (error) {
    throw new Failure(`cannot make ${dir}: ${networkReason(error)}`, { cause: error });
  }
  return dir;
}

/** The text of a file; null when there is none. Throws `Failure` when it cannot be read. */
export function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const reason = networkReason(error);
    if (reason === "ENOENT") return null;
    throw new Failure(`cannot read ${path}: ${reason}`, { cause: error });
  }
}

/**
 * Writes a 0600 file that is complete whenever it exists, also after a power cut. Throws `Failure`.
 * With `replace: false` an existing file is left alone and the answer is false.
 */
export function writePrivate(path: string, text: string, how: { replace: boolean }): boolean {
  try {
    return writeWhole(path, text, how);
  } catch (error) {
    throw new Failure(`cannot write ${path}: ${networkReason(error)}`, { cause: error });
  }
}

function writeWhole(path: string, text: string, { replace }: { replace: boolean }): boolean {
  const temporary = `${path}.${randomUUID()}.part`;
  const file = openSync(temporary, "wx", 0o600);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  try {
    if (replace) renameSync(temporary, path);
    else linkSync(temporary, path); // unlike rename, link fails when the name is taken
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
    return false;
  } finally {
    rmSync(temporary, { force: true });
  }
  syncDirectory(dirname(path));
  return true;
}

/** Makes a rename or link in `dir` survive a power cut (fsync(2): the entry needs its own sync). */
export function syncDirectory(dir: string): void {
  const handle = openSync(dir, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
