/** A guest's serial console, from the file that virtlogd or QEMU writes (nova: _get_console_output_file). */
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { DriverError } from "../driver.ts";

/** virtlogd keeps so many older files beside the one it writes (virtlogd.conf: max_backups). */
const BACKUPS = 3;

/**
 * The last `most` bytes of the file at `path`, reaching back into those that virtlogd has put aside. Rejects with
 * ConsoleNotAvailable when there is none.
 */
export async function readConsole(path: string, most: number): Promise<Buffer> {
  const last = await lastBytes(path, most);
  if (last === null) throw new DriverError("ConsoleNotAvailable", "the guest has no console log");
  const parts = [last];
  let wanted = most - last.length;
  for (let i = 0; i < BACKUPS && wanted > 0; i++) {
    const older = await lastBytes(`${path}.${i}`, wanted);
    if (older === null) break;
    parts.unshift(older);
    wanted -= older.length;
  }
  return Buffer.concat(parts);
}

async function lastBytes(path: string, most: number): Promise<Buffer | null> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw error;
  });
  if (file === null) return null;
  try {
    const { size } = await file.stat();
    const length = Math.min(size, most);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
