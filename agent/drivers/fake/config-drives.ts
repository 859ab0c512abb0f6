/**
 * The config drives of a fake host, each the plain tree of its files: nothing reads them but who is curious.
 * A guest's is `config-drives/<uuid>`; while it is rescued it would see `config-drives/<uuid>.rescue` instead.
 */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { GuestSpec } from "../../../functions/protocol/methods.ts";
import { writeConfigDrive } from "../../config-drive-image.ts";

type Guest = { uuid: string; spec: GuestSpec };

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
