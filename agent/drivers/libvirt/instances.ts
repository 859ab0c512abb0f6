/**
 * The folder of all guests' folders (nova: instances_path), which other hosts may mount, too. Each guest's folder has a
 * file `owner`, the name at the edge of the host whose guest it is. A host makes, changes, starts from and removes what is
 * its own; what another host owns it leaves as it is.
 *
 *   none <--make, remove--> this host's --give--> another's --take (an evacuation)--> this host's
 *
 * What a crash leaves at each point:
 * - `make`: the folder comes before its owner. An empty folder without one is nobody's: whoever is told to makes it.
 * - `remove`: the owner goes last, so that what is half removed is still known to be ours.
 * - A guest leaves alive: `leaving` names its destination before it can go. When it has gone, and the source was killed
 *   before `give`, there is `leaving` and no domain; whatever looks at the guest next gives the folder first, a destroy
 *   too. The destination runs it in a folder that is still the source's: a destroy there leaves the files, and
 *   post_live_migration_at_destination takes them. A guest that did not go never changed hands.
 * - An evacuation: `take` comes before all else, so that its former host, if it returns, starts and removes nothing.
 *   Killed after it, the destination owns disks without a guest, and the call is repeated.
 * - Both change the owner from one that they name: a host that comes too late changes nothing.
 * - A cold move: the source's folder is aside then (../aside.ts), with its owner in it, and a folder of the destination's
 *   in its place. Each brings back, drops and removes its own; only a revert, which the edge orders, has the source remove
 *   what is in its place.
 *
 * That a guest runs on one host only is not this file's to see to, but the edge's (fencing, generations) and, in the end,
 * that of QEMU's locks on its disks. Hosts that share their storage trust each other with what is on it.
 *
 * Folders of before there were owners are this host's where it has the folder to itself; where it has not, they are of
 * the host that has their guest.
 */
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { chmod, mkdir, readdir, rename, rm, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { CallErrorCode } from "../../../functions/protocol/methods.ts";
import { asideOf, bringBack, dropAside, guestsWithFolders, readAside, readGuestFile } from "../aside.ts";
import { DriverError } from "../driver.ts";
import { LEAVING, OWNER, PASSING, PROBE } from "./guest-folder.ts";

/** What a folder without an owner is of. */
const NOBODY = "";

export type InstancesOptions = {
  path: string;
  /** This host's name at the edge. */
  host: string;
  /** Whether other hosts may see the folder. */
  shared: boolean;
};

export class Instances {
  readonly path: string;
  readonly #host: string;
  readonly #shared: boolean;

  constructor({ path, host, shared }: InstancesOptions) {
    this.path = path;
    this.#host = host;
    this.#shared = shared;
  }

  folder(uuid: string): string {
    return join(this.path, uuid);
  }

  /** The guests that have a folder of this host's here, be it one that is aside. */
  async list(): Promise<string[]> {
    const guests = await guestsWithFolders(this.path);
    const isOurs = async (uuid: string) => {
      const folder = this.folder(uuid);
      return [await this.#owner(folder), await this.#owner(asideOf(folder))].includes(this.#host);
    };
    const ours = await Promise.all(guests.map(isOurs));
    return guests.filter((_, i) => ours[i]);
  }

  /** Whether that host has left the guest's files here. */
  async isLeftBy(uuid: string, host: string): Promise<boolean> {
    const folder = this.folder(uuid);
    if ((await this.#owner(folder)) === host) return true;
    return (await readAside(folder))?.replaced === false && (await this.#owner(asideOf(folder))) === host;
  }

  /** What is aside of the guest, if this host has put it there; else null. */
  async aside(uuid: string): ReturnType<typeof readAside> {
    const folder = this.folder(uuid);
    return (await this.#owner(asideOf(folder))) === this.#host ? readAside(folder) : null;
  }

  /** Removes what is aside of the guest, unless another host has put it there. What says of no guest is anybody's. */
  async removeAside(uuid: string): Promise<void> {
    const folder = this.folder(uuid);
    if ((await this.aside(uuid)) !== null || (await readAside(folder)) === null) await dropAside(folder);
  }

  /** Whether there is nothing that another host owns, or may own. */
  async isFree(uuid: string): Promise<boolean> {
    const owner = await this.#owner(this.folder(uuid));
    if (owner === null || owner === this.#host) return true;
    return owner === NOBODY && (await this.#isEmpty(uuid));
  }

  /** Rejects with `code` when the guest's folder is another host's. */
  async need(uuid: string, code: CallErrorCode = "InstanceInvalidState"): Promise<void> {
    if (await this.isFree(uuid)) return;
    throw new DriverError(code, "the guest's files are another host's, with which this one shares its storage");
  }

  /** Makes the guest's folder, and keeps what is in it. */
  async make(uuid: string, mode: number, code?: CallErrorCode): Promise<void> {
    await this.need(uuid, code);
    await mkdir(this.folder(uuid), { recursive: true });
    await this.own(uuid);
    await chmod(this.folder(uuid), mode);
  }

  /** Makes the guest's folder, with nothing in it. */
  async renew(uuid: string, mode: number, code?: CallErrorCode): Promise<void> {
    await this.make(uuid, mode, code);
    await this.#clear(uuid);
  }

  /** The guest is on this host: its folder, if it is there, is this host's from here on. */
  async own(uuid: string): Promise<void> {
    if ((await this.#owner(this.folder(uuid))) === null) return;
    await this.#write(uuid, this.#host);
    await this.#drop(uuid, [LEAVING]);
  }

  /** As `own`, where it is not known whose the folder is. */
  async adopt(uuid: string): Promise<void> {
    const owner = await readGuestFile(join(this.folder(uuid), OWNER));
    if (!owner && existsSync(this.folder(uuid))) await this.#write(uuid, this.#host);
  }

  /** The guest has gone to that host, with its files. They are given once, and by their owner alone. */
  async give(uuid: string, to: string): Promise<void> {
    if ((await this.#owner(this.folder(uuid))) !== this.#host) return;
    // In this order: what was neither given nor on its way would be removed.
    await this.#write(uuid, to);
    await this.#drop(uuid, [LEAVING]);
  }

  /** What was that host's is this one's, but for what a call there had left under way. Once it is, nothing changes. */
  async take(uuid: string, from: string): Promise<void> {
    if (!(await this.isLeftBy(uuid, from))) return this.need(uuid);
    // The guest was about to move, and that move is over.
    if ((await this.#owner(this.folder(uuid))) !== from) await bringBack(this.folder(uuid), async () => undefined);
    await this.#drop(uuid, PASSING);
    await this.#write(uuid, this.#host);
  }

  /** The host that the guest goes to with its files, alive, or has gone to; null when there is none. */
  async leavesFor(uuid: string): Promise<string | null> {
    const to = await readGuestFile(join(this.folder(uuid), LEAVING));
    return to === "" ? null : to;
  }

  /** The guest is not here any more: if it was on its way, it has arrived, and its files are there. */
  async settle(uuid: string): Promise<void> {
    const to = await this.leavesFor(uuid);
    if (to !== null) await this.give(uuid, to);
  }

  /** Rejects unless the guest may start from its files: a guest on its way may run at the other end of it. */
  async needToStart(uuid: string): Promise<void> {
    await this.need(uuid);
    const to = await this.leavesFor(uuid);
    if (to === null) return;
    throw new DriverError("InstanceInvalidState", "the guest was on its way to another host, and may run there");
  }

  /** Removes the guest's folder, unless another host owns it. */
  async remove(uuid: string): Promise<void> {
    if ((await this.#owner(this.folder(uuid))) === null || !(await this.isFree(uuid))) return;
    await this.#clear(uuid);
    await rm(join(this.folder(uuid), OWNER), { force: true });
    await rmdir(this.folder(uuid));
  }

  /** Leaves a word in the guest's folder that only those can read who see this very folder, now. */
  async probe(uuid: string): Promise<string> {
    const word = randomUUID();
    // In place: a host that looked before would look at the file of then (NFS).
    await writeFile(join(this.folder(uuid), PROBE), word, { flush: true });
    return word;
  }

  async sees(uuid: string, word: string | null): Promise<boolean> {
    return word !== null && (await readGuestFile(join(this.folder(uuid), PROBE))) === word;
  }

  /** Null when there is no such folder. */
  async #owner(folder: string): Promise<string | null> {
    const owner = await readGuestFile(join(folder, OWNER));
    if (owner !== null && owner !== "") return owner;
    if (!existsSync(folder)) return null;
    return this.#shared ? NOBODY : this.#host;
  }

  /** Whole or not at all. */
  async #write(uuid: string, owner: string): Promise<void> {
    const path = join(this.folder(uuid), OWNER);
    await writeFile(`${path}.new`, owner, { mode: 0o600, flush: true });
    await rename(`${path}.new`, path);
  }

  async #isEmpty(uuid: string): Promise<boolean> {
    return (await readdir(this.folder(uuid))).every((name) => name === `${OWNER}.new`);
  }

  async #drop(uuid: string, names: readonly string[]): Promise<void> {
    for (const name of names) await rm(join(this.folder(uuid), name), { force: true });
  }

  async #clear(uuid: string): Promise<void> {
    for (const name of await readdir(this.folder(uuid))) {
      if (name !== OWNER) await rm(join(this.folder(uuid), name), { recursive: true, force: true });
    }
  }
}
