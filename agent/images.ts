/**
 * The image cache (nova: virt/libvirt/imagecache.py): `<state>/images/<sha512>`, whole and verified whenever it exists.
 * A file is never changed once it has its name, so drivers may use it as a backing file. Its mtime is when it was used
 * last: asked for, or seen below a guest's disk.
 *
 * What is there already is believed by its size each time, and by its hash once for each run of the agent: a disk that
 * rots, or a hand that slips, is found out for 1 or 2 s a GiB, and only by the first build after a start.
 */
import { randomUUID } from "node:crypto";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { open, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import type { ImageRef } from "../functions/protocol/methods.ts";
import type { AgentConfig } from "./config.ts";
import { DriverError } from "./drivers/driver.ts";
import { describe, diskIsFull } from "./failure.ts";
import { age, PART } from "./image-ageing.ts";
import { downloadImage, type ImageSource, sha512Of } from "./image-download.ts";
import { inspectImage } from "./image-inspect/inspect.ts";
import { ImagesInHand } from "./images-in-hand.ts";
import type { Log } from "./log.ts";
import { type Report, reportOf } from "./progress.ts";
import { syncDirectory } from "./state-dir.ts";
import { Slots } from "./turns.ts";

export type ImageCacheOptions = ImageSource & {
  dir: string;
  config: AgentConfig["image_cache"];
  /** The sha512 of every image that a guest's disk leans on. */
  used(): Promise<ReadonlySet<string>>;
  log: Log;
};
type Download = { path: Promise<string>; abort: AbortController; waiters: number; reports: Set<Report> };

export class ImageCache {
  readonly #options: ImageCacheOptions;
  readonly #downloads = new Map<string, Download>();
  readonly #inHand = new ImagesInHand();
  /** Those whose hash was seen to be right in this run. */
  readonly #verified = new Set<string>();
  readonly #prefetches: Slots;
  /** Those that are being fetched ahead, or wait for it. */
  readonly #ahead = new Set<string>();
  readonly #prefetching = new AbortController();

  /** Makes the directory and removes what was cut off in it: downloads, and removals. */
  constructor(options: ImageCacheOptions) {
    this.#options = options;
    this.#prefetches = new Slots(options.config.precache_concurrency);
    mkdirSync(options.dir, { recursive: true, mode: 0o711 });
    for (const name of readdirSync(options.dir)) if (name.endsWith(PART)) rmSync(join(options.dir, name));
  }

  /** What `work` gets of the images stays until it has ended: by then a guest's disk leans on it, or nothing does. */
  during<T>(work: () => Promise<T>): Promise<T> {
    return this.#inHand.during(work);
  }

  /**
   * The path of the image's verified bytes. However many ask for the same bytes, they are downloaded once; the download
   * ends early only when all who wait for it have aborted. Rejects with the signal's reason, or with `DriverError`:
   * ImageUnacceptable when the bytes are not those that `ref` names, or not an image as it says; InsufficientFreeDisk,
   * or Unexpected.
   */
  async get(ref: ImageRef, signal: AbortSignal): Promise<string> {
    signal.throwIfAborted();
    this.#inHand.take(ref.sha512);
    const download = this.#downloads.get(keyOf(ref)) ?? this.#start(ref);
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
      if (download.waiters === 0) this.#forget(keyOf(ref), download);
    }
  }

  /** Whether the image is here; when it is not, it is fetched from now on, and what becomes of that is logged. */
  async prefetch(ref: ImageRef): Promise<boolean> {
    if (await this.#has(ref)) return true;
    if (this.#ahead.has(ref.sha512)) return false;
    this.#ahead.add(ref.sha512);
    this.#prefetch(ref).catch((error: unknown) => {
      if (!this.#prefetching.signal.aborted) {
        this.#options.log("image.prefetch_failed", { image: ref.id, message: describe(error) });
      }
    });
    return false;
  }

  /** nova: _run_image_cache_manager_pass. Removes what no guest has used for long enough; rejects when nobody can tell. */
  async prune(nowMs = Date.now()): Promise<void> {
    const { dir, config, used, log } = this.#options;
    if (!config.remove_unused_base_images) return;
    const minimumAgeMs = config.remove_unused_original_minimum_age_seconds * 1000;
    await this.#inHand.watch(async (inHand) => {
      await age({ dir, inUse: await used(), inHand, minimumAgeMs, nowMs, log });
    });
  }

  /** Gives up what is fetched ahead, and waits for nothing. */
  close(): void {
    this.#prefetching.abort();
  }

  async #prefetch(ref: ImageRef): Promise<void> {
    const { signal } = this.#prefetching;
    let release: (() => void) | undefined;
    try {
      release = await this.#prefetches.take(signal);
      await this.get(ref, signal);
    } finally {
      release?.();
      this.#ahead.delete(ref.sha512);
    }
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
    this.#downloads.set(keyOf(ref), download);
    return download;
  }

  #path(ref: ImageRef): string {
    return join(this.#options.dir, ref.sha512);
  }

  async #has(ref: ImageRef): Promise<boolean> {
    const cached = await stat(this.#path(ref)).catch(() => null);
    return cached?.isFile() === true && cached.size === ref.size;
  }

  #forget(key: string, download: Download): void {
    // At once, not when the download has ended: who asks next must not join one that is being aborted.
    if (this.#downloads.get(key) === download) this.#downloads.delete(key);
    download.abort.abort();
  }

  async #load(ref: ImageRef, signal: AbortSignal, heard: (bytes: number) => void): Promise<string> {
    const { dir, log } = this.#options;
    const path = this.#path(ref);
    if (await this.#isGood(ref, signal)) {
      await inspectImage(path, ref);
      const now = new Date();
      await utimes(path, now, now);
      return path;
    }
    const startedMs = performance.now();
    const part = join(dir, `${ref.sha512}.${randomUUID()}${PART}`);
    try {
      const file = await open(part, "wx", 0o600);
      try {
        await downloadImage(ref, file, this.#options, signal, heard);
        await inspectImage(part, ref);
        await file.chmod(0o644); // for QEMU, which runs as another user
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(part, path);
      syncDirectory(dir);
      this.#verified.add(ref.sha512);
    } catch (error) {
      await rm(part, { force: true });
      throw diskIsFull(error)
        ? new DriverError("InsufficientFreeDisk", `no room for image ${ref.id}`, { cause: error })
        : error;
    }
    log("image.cached", { image: ref.id, bytes: ref.size, ms: Math.round(performance.now() - startedMs) });
    return path;
  }

  /**
   * Whether the image is here and right. One that is damaged is fetched anew, unless a guest leans on it: what that guest
   * wrote fits to these bytes alone, so somebody has to look, and the build goes elsewhere.
   */
  async #isGood(ref: ImageRef, signal: AbortSignal): Promise<boolean> {
    const { used, log } = this.#options;
    const path = this.#path(ref);
    const whole = await this.#has(ref);
    if (whole && this.#verified.has(ref.sha512)) return true;
    if (whole && (await sha512Of(path, signal)) === ref.sha512) {
      this.#verified.add(ref.sha512);
      return true;
    }
    if ((await stat(path).catch(() => null)) === null) return false;
    const needed = (await used()).has(ref.sha512);
    log("image.damaged", { image: ref.id, path, used: needed });
    if (!needed) return false;
    throw new DriverError("Unexpected", `this host's copy of image ${ref.id} is damaged, and guests here lean on it`);
  }
}

/** The same bytes may be an image of one format and none of another. */
const keyOf = ({ sha512, disk_format }: ImageRef) => `${sha512}.${disk_format}`;
