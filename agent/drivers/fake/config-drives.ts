/**
 * The config drives of a fake host, each the plain tree of its files: nothing reads them but who is curious.
 * A guest's is `config-drives/<uuid>`; while it is rescued it would see `config-drives/<uuid>.rescue` instead.
 */
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import type { GuestSpec } from "../../../functions/protocol/methods.ts";
import { writeConfigDrive } from "../../config-drive-image.ts";

type Guest = { uuid: string; spec: GuestSpec };

export type DriveTree = readonly (readonly [path: string, base64: string])[];

export class ConfigDrives {
  readonly #dir: string;

  constructor(stateDir: string) {
    this.#dir = join(stateDir, "config-drives");
  }

  /** Writes the guest's drive in place of an earlier one; nothing when it is to have none, or if this rejects. */
  async write(guest: Guest): Promise<void> {
    await writeConfigDrive(this.#own(guest.uuid), guest).catch(async (error: unknown) => {
      await this.remove(guest.uuid);
      throw error;
    });
  }

  writeForRescue(guest: Guest): Promise<void> {
    return writeConfigDrive(this.#rescue(guest.uuid), guest);
  }

  /** Removes what is there for a rescue alone, if there is any. */
  async endRescue(uuid: string): Promise<void> {
    await rm(this.#rescue(uuid), { recursive: true, force: true });
  }

  /** The files of the guest's own drive: their paths in it, and their bytes as base64. */
  async read(uuid: string): Promise<DriveTree> {
    const dir = this.#own(uuid);
    const entries = await readdir(dir, { recursive: true, withFileTypes: true }).catch(() => []);
    const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
    return Promise.all(files.map(async (file) => [relative(dir, file), await readFile(file, "base64")] as const));
  }

  /** Puts a drive that was read on another host in place of an earlier one. */
  async restore(uuid: string, files: DriveTree): Promise<void> {
    const dir = this.#own(uuid);
    await rm(dir, { recursive: true, force: true });
    for (const [path, base64] of files) {
      const file = join(dir, path);
      if (relative(dir, file).startsWith("..")) throw new Error("a file of the drive is outside of it");
      await mkdir(dirname(file), { recursive: true, mode: 0o700 });
      await writeFile(file, Buffer.from(base64, "base64"), { mode: 0o600 });
    }
  }

  /** The guests that have one. */
  async list(): Promise<string[]> {
    const names = await readdir(this.#dir).catch(() => []);
    return [...new Set(names.map((name) => name.replace(/\..*/, "")))];
  }

  async remove(uuid: string): Promise<void> {
    await this.endRescue(uuid);
    await rm(this.#own(uuid), { recursive: true, force: true });
  }

  #own(uuid: string): string {
    return join(this.#dir, uuid);
  }

  #rescue(uuid: string): string {
    return `${this.#own(uuid)}.rescue`;
  }
}
