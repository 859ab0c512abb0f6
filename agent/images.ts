/**
 * The image cache (nova: virt/libvirt/imagecache.py): `<state>/images/<sha512>`, whole and verified whenever it exists.
 * A file is never changed once it has its name, so drivers may use it as a backing file.
 */
import { randomUUID } from "node:crypto";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { open, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { ImageRef } from "../functions/protocol/methods.ts";
import { DriverError } from "./drivers/driver.ts";
import { describe, networkReason } from "./failure.ts";
import { downloadImage, type ImageSource } from "./image-download.ts";
import type { Log } from "./log.ts";
import { type Report, reportOf } from "./progress.ts";
import { syncDirectory } from "./state-dir.ts";

const PART = ".part";

export type ImageCacheOptions = ImageSource & { dir: string; log: Log };
type Download = { path: Promise<string>; abort: AbortController; waiters: number; reports: Set<Report> };

export class ImageCache {
  readonly #options: ImageCacheOptions;
  readonly #downloads = new Map<string, Download>();
  readonly #prefetching = new AbortController();

  /** Makes the directory and removes what downloads that were cut off left in it. */
  constructor(options: ImageCacheOptions) {
    this.#options = options;
    mkdirSync(options.dir, { recursive: true, mode: 0o711 });
    for (const name of readdirSync(options.dir)) if (name.endsWith(PART)) rmSync(join(options.dir, name));
  }

  /**
   * The path of the image's verified bytes. However many ask for the same bytes, they are downloaded once; the download
   * ends early only when all who wait for it have aborted. Rejects with the signal's reason, or with `DriverError`:
   * ImageUnacceptable when the bytes are not those that `ref` names, InsufficientFreeDisk, or Unexpected.
   */
  async get(ref: ImageRef, signal: AbortSignal): Promise<string> {
    signal.throwIfAborted();
    const download = this.#downloads.get(ref.sha512) ?? this.#start(ref);
    download.waiters += 1;
    const report = reportOf();
    download.reports.add(report);
    const left = Promise.withResolvers<never>();
    const leave = () => left.reject(signal.reason);
    signal.addEventListener("abort", leave, { once: true });
    try {
      return await Promise.race([download.path, left.promise]);
    } finally {
      signal.removeEventListener("abort", leave);
      download.waiters -= 1;
      download.reports.delete(report);
      if (download.waiters === 0) this.#forget(ref.sha512, download);
    }
  }

  /** Whether the image is here; when it is not, it is fetched from now on, and what becomes of that is logged. */
  async prefetch(ref: ImageRef): Promise<boolean> {
    if (await this.#has(ref)) return true;
    this.get(ref, this.#prefetching.signal).catch((error: unknown) => {
      if (!this.#prefetching.signal.aborted) {
        this.#options.log("image.prefetch_failed", { image: ref.id, message: describe(error) });
      }
    });
    return false;
  }

  /** Gives up what is fetched ahead, and waits for nothing. */
  close(): void {
    this.#prefetching.abort();
  }

  #start(ref: ImageRef): Download {
    const abort = new AbortController();
    const reports = new Set<Report>();
    const heard = (bytes: number) => {
      for (const report of reports) report("image", { bytes, of: ref.size });
    };
    const download = { path: this.#load(ref, abort.signal, heard), abort, waiters: 0, reports };
    // When every waiter has left, nobody is there to hear that it failed.
    download.path.catch(() => undefined);
    this.#downloads.set(ref.sha512, download);
    return download;
  }

  #path(ref: ImageRef): string {
    return join(this.#options.dir, ref.sha512);
  }

  async #has(ref: ImageRef): Promise<boolean> {
    const cached = await stat(this.#path(ref)).catch(() => null);
    return cached?.isFile() === true && cached.size === ref.size;
  }

  #forget(sha512: string, download: Download): void {
    // At once, not when the download has ended: who asks next must not join one that is being aborted.
    if (this.#downloads.get(sha512) === download) this.#downloads.delete(sha512);
    download.abort.abort();
  }

  async #load(ref: ImageRef, signal: AbortSignal, heard: (bytes: number) => void): Promise<string> {
    const { dir, log } = this.#options;
    const path = this.#path(ref);
    if (await this.#has(ref)) return path;
    const startedMs = performance.now();
    const part = join(dir, `${ref.sha512}.${randomUUID()}${PART}`);
    try {
      const file = await open(part, "wx", 0o600);
      try {
        await downloadImage(ref, file, this.#options, signal, heard);
        await file.chmod(0o644); // for QEMU, which runs as another user
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(part, path);
      syncDirectory(dir);
    } catch (error) {
      await rm(part, { force: true });
      throw fullDisk(error)
        ? new DriverError("InsufficientFreeDisk", `no room for image ${ref.id}`, { cause: error })
        : error;
    }
    log("image.cached", { image: ref.id, bytes: ref.size, ms: Math.round(performance.now() - startedMs) });
    return path;
  }
}

function fullDisk(error: unknown): boolean {
  return ["ENOSPC", "EDQUOT"].includes(networkReason(error));
}
