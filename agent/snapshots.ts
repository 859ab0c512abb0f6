/**
 * Snapshots between the hypervisor and the edge: `<state>/snapshots/<server>.<image>`, whole whenever it has that name.
 *
 *   take   --> <server>.<image>.<random>.part --> <server>.<image>
 *   upload --> <server>.<image> --> the edge --> removed, also when the edge does not want it
 *
 * A crash in `take` starts over; one in `upload` finds the file, and the edge has what was sent before. A file that
 * nobody comes back for is removed with its guest, by the next snapshot of it, or when it is a day old.
 */
import { createHash, randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { SnapshotFile } from "../functions/protocol/methods.ts";
import { type Driver, DriverError } from "./drivers/driver.ts";
import { diskIsFull } from "./failure.ts";
import type { ImageSource } from "./image-download.ts";
import type { Log } from "./log.ts";
import { uploadSnapshot } from "./snapshot-upload.ts";
import { syncDirectory } from "./state-dir.ts";
import { Slots } from "./turns.ts";

const PART = ".part";
/** Far longer than a host and its edge are apart; a file may be larger than all else that the agent keeps. */
const KEEP_MS = 24 * 60 * 60 * 1000;

export type SnapshotsOptions = ImageSource & {
  dir: string;
  driver: Pick<Driver, "snapshot">;
  log: Log;
  /** nova: max_concurrent_snapshots. */
  maxSnapshots: number;
};

export class Snapshots {
  readonly #options: SnapshotsOptions;
  readonly #slots: Slots;
  /** Files that are being uploaded. */
  readonly #busy = new Set<string>();
  readonly #stopping = new AbortController();

  constructor(options: SnapshotsOptions) {
    this.#options = options;
    this.#slots = new Slots(options.maxSnapshots);
  }

  /** Makes the directory, and removes the halves that a crash left in it. To be called before any other. */
  async init(): Promise<void> {
    const { dir } = this.#options;
    await mkdir(dir, { recursive: true, mode: 0o700 });
    for (const name of await readdir(dir)) if (name.endsWith(PART)) await rm(join(dir, name), { force: true });
    await this.prune();
  }

  /** Removes what nobody came back for. */
  async prune(now = Date.now()): Promise<void> {
    const { dir } = this.#options;
    for (const name of await readdir(dir)) {
      const path = join(dir, name);
      if (this.#busy.has(path) || name.endsWith(PART)) continue;
      if ((await stat(path)).mtimeMs < now - KEEP_MS) await rm(path, { force: true });
    }
  }

  /** Copies the guest's disk into the file that is to be `image`. Rejects with the signal's reason or `DriverError`. */
  async take(server: string, image: string, signal: AbortSignal): Promise<SnapshotFile> {
    const { dir, driver, log } = this.#options;
    const either = AbortSignal.any([signal, this.#stopping.signal]);
    const release = await this.#slots.take(either);
    const startedMs = performance.now();
    const part = join(dir, `${server}.${image}.${randomUUID()}${PART}`);
    try {
      await this.forget(server);
      const { disk_format } = await driver.snapshot(server, part, either);
      const { size, sha512 } = await read(part, either);
      await rename(part, this.#path(server, image));
      syncDirectory(dir);
      log("snapshot.taken", { server, image, bytes: size, ms: Math.round(performance.now() - startedMs) });
      return { disk_format, size, sha512 };
    } catch (error) {
      await rm(part, { force: true });
      throw diskIsFull(error)
        ? new DriverError("InsufficientFreeDisk", "the host has no room for the snapshot", { cause: error })
        : error;
    } finally {
      release();
    }
  }

  /** Brings the file to the edge, and removes it. Done once: when the edge has the image, the file may be gone. */
  async upload(server: string, image: string, signal: AbortSignal): Promise<void> {
    const { log } = this.#options;
    const path = this.#path(server, image);
    const either = AbortSignal.any([signal, this.#stopping.signal]);
    this.#busy.add(path);
    let release: (() => void) | undefined;
    try {
      release = await this.#slots.take(either);
      const startedMs = performance.now();
      const sent = await uploadSnapshot({ image, path }, this.#options, either);
      log("snapshot.uploaded", { server, image, sent, ms: Math.round(performance.now() - startedMs) });
    } catch (error) {
      // An agent that stops is asked again when it is back, and goes on.
      if (this.#stopping.signal.aborted) throw error;
      await rm(path, { force: true });
      throw error;
    } finally {
      release?.();
      this.#busy.delete(path);
    }
    await rm(path, { force: true });
  }

  /** Removes the files of a server. */
  async forget(server: string): Promise<void> {
    const { dir } = this.#options;
    for (const name of await readdir(dir)) {
      if (name.startsWith(`${server}.`)) await rm(join(dir, name), { force: true });
    }
  }

  /** Cuts off what is under way. */
  stop(): void {
    this.#stopping.abort(new DriverError("HypervisorUnavailable", "the agent is stopping"));
  }

  #path(server: string, image: string): string {
    return join(this.#options.dir, `${server}.${image}`);
  }
}

/** The size and hash of a file that is on disk when this resolves. */
async function read(path: string, signal: AbortSignal): Promise<{ size: number; sha512: string }> {
  const file = await open(path, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
  const hash = createHash("sha512");
  let size = 0;
  for await (const chunk of createReadStream(path, { signal, highWaterMark: 1 << 20 })) {
    hash.update(chunk);
    size += chunk.length;
  }
  return { size, sha512: hash.digest("hex") };
}
