/** Which files of the image cache are removed, and how (nova: virt/libvirt/imagecache.py _age_and_verify_cached_images). */
import { randomUUID } from "node:crypto";
import { renameSync } from "node:fs";
import { readdir, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import type { Log } from "./log.ts";

/** The end of the name of what is no image yet, or none any more: it is removed when the agent starts. */
export const PART = ".part";
const IMAGE = /^[0-9a-f]{128}$/;

export type Ageing = {
  dir: string;
  /** By sha512. */
  inUse: ReadonlySet<string>;
  /** Those that no guest shows yet; it grows while this runs. */
  inHand: ReadonlySet<string>;
  minimumAgeMs: number;
  nowMs: number;
  log: Log;
};

/** Notes the time of what is used, and removes what was not used for `minimumAgeMs`. */
export async function age({ dir, inUse, inHand, minimumAgeMs, nowMs, log }: Ageing): Promise<void> {
  for (const name of await readdir(dir)) {
    if (!IMAGE.test(name)) continue;
    const path = join(dir, name);
    if (inUse.has(name)) {
      const now = new Date(nowMs);
      await utimes(path, now, now);
      continue;
    }
    const { mtimeMs, size } = await stat(path);
    const unusedMs = nowMs - mtimeMs;
    // From this look to the rename nothing else runs: who asks later finds no image, and fetches it.
    if (inHand.has(name) || unusedMs < minimumAgeMs) continue;
    const gone = `${path}.${randomUUID()}${PART}`;
    renameSync(path, gone);
    await rm(gone);
    log("image.removed", { sha512: name, bytes: size, unused_s: Math.round(unusedMs / 1000) });
  }
}
