/** Whether there is room for images and guests' disks where the state directory is. */
import { existsSync } from "node:fs";
import { access, constants, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import type { Finding } from "./finding.ts";

const GIB = 2 ** 30;
/** Below this not even a small image and a guest's first writes fit; below the other a few guests fill it. */
const FLOOR_GIB = 2;
const FEW_GIB = 20;

/** `path`, or what there is of the way to it. */
export function existing(path: string): string {
  return existsSync(path) || dirname(path) === path ? path : existing(dirname(path));
}

export async function checkDisk(stateDir: string): Promise<Finding> {
  const place = existing(stateDir);
  const { bavail, bsize } = await statfs(place);
  return roomFor(place, (bavail * bsize) / GIB);
}

export function roomFor(place: string, freeGib: number): Finding {
  const says = `${freeGib.toFixed(1)} GiB free at ${place}`;
  const mend = `df -h ${place}; make room, or give the agent another --state`;
  if (freeGib < FLOOR_GIB) return { check: "disk", state: "failed", says: `${says}, of ${FLOOR_GIB} at least`, mend };
  if (freeGib < FEW_GIB) return { check: "disk", state: "warning", says: `${says}: a few guests fill it`, mend };
  return { check: "disk", state: "ok", says };
}

/** Whether the agent may write where it keeps its state. */
export async function checkState(stateDir: string): Promise<Finding> {
  const place = existing(stateDir);
  try {
    await access(place, constants.W_OK | constants.X_OK);
    return { check: "state", state: "ok", says: `${stateDir} is writable` };
  } catch {
    const mend = "run the agent as root, or give it a --state of its user's";
    return { check: "state", state: "failed", says: `this user may not write to ${place}`, mend };
  }
}
