/** The disks of fake guests, as far as they have been moved: nothing else reads one. */
import { randomBytes } from "node:crypto";
import { access, mkdir, readFile, rm, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { dropAside, guestsWithFolders } from "../aside.ts";

/** The one file of a guest. */
export const DISK = "disk";
const BYTES = 256 * 1024;

export class Disks {
  readonly #dir: string;

  constructor(stateDir: string) {
    this.#dir = join(stateDir, "disks");
  }

  folder(uuid: string): string {
    return join(this.#dir, uuid);
  }

  path(uuid: string): string {
    return join(this.folder(uuid), DISK);
  }

  async has(uuid: string): Promise<boolean> {
    return access(this.path(uuid)).then(
      () => true,
      () => false,
    );
  }

  /** Makes room for a disk that is to come, and keeps one that is there. */
  async prepare(uuid: string): Promise<void> {
    await mkdir(this.folder(uuid), { recursive: true, mode: 0o700 });
  }

  /** Makes a disk as if the guest had written to it at random, unless it has one. */
  async make(uuid: string): Promise<void> {
    if (!(await this.has(uuid))) await this.write(uuid, randomBytes(BYTES));
  }

  async read(uuid: string): Promise<Buffer> {
    await this.make(uuid);
    return readFile(this.path(uuid));
  }

  async write(uuid: string, bytes: Uint8Array): Promise<void> {
    await this.prepare(uuid);
    await writeFile(this.path(uuid), bytes, { mode: 0o600, flush: true });
  }

  /** The guests that have one. */
  async list(): Promise<string[]> {
    return guestsWithFolders(this.#dir).catch(() => []);
  }

  async remove(uuid: string): Promise<void> {
    await dropAside(this.folder(uuid));
    await rm(this.folder(uuid), { recursive: true, force: true });
    // The last one leaves no empty folder.
    await rmdir(this.#dir).catch(() => undefined);
  }
}
