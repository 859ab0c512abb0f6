/** What ends a transfer of disks for good, and what only ends one try. */
import { DriverError } from "../drivers/driver.ts";
import { diskIsFull } from "../failure.ts";

/** A file of this host failed; another try would meet the same. */
export class FileFailure extends Error {
  override name = "FileFailure";
}

/** Runs what reads or writes files, so that its failure is known as theirs. */
export async function onDisk<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw new FileFailure("a disk's file failed", { cause });
  }
}

export const isLasting = (error: unknown) => error instanceof DriverError || error instanceof FileFailure;

/** What the other host is told of a failure of this one: no path, and nothing that it need not know. */
export function reasonOf(error: unknown): string {
  if (error instanceof DriverError) return error.message;
  if (diskIsFull(error)) return "it has no room on its disk";
  return "it failed; its agent's log has the cause";
}

/** Tries that may fail one after another with nothing brought in between. */
const MAX_FRUITLESS = 10;

/** Throws when it is of no use to try again. */
export class Tries {
  #fruitless = 0;
  #before = 0;

  get count(): number {
    return this.#fruitless;
  }

  failed(error: unknown, bytes: number): void {
    if (isLasting(error)) throw error;
    this.#fruitless = bytes > this.#before ? 1 : this.#fruitless + 1;
    this.#before = bytes;
    if (this.#fruitless <= MAX_FRUITLESS) return;
    throw new DriverError("MigrationError", `${MAX_FRUITLESS} tries to bring the disks have failed`, { cause: error });
  }
}
