/** What a resting server is to do by itself, and when (nova: _reclaim_queued_deletes, _poll_shelved_instances). Pure. */
import type { Config } from "../config.ts";
import type { ServerRecord } from "./record.ts";
import type { TaskState } from "./state.ts";

/** `at` in ms since the epoch. */
export type Due = { at: number; flow: string; task: TaskState };

/** What comes next of itself; null: nothing does. */
export function dueOf(record: ServerRecord, config: Config): Due | null {
  const { vm_state, deleted_at, shelved } = record;
  const { RECLAIM_INSTANCE_INTERVAL: keep, SHELVED_OFFLOAD_TIME: stay } = config;
  if (vm_state === "soft-delete" && deleted_at !== null && keep > 0) {
    return { at: Date.parse(deleted_at) + keep * 1000, flow: "delete", task: "deleting" };
  }
  if (vm_state === "shelved" && shelved !== null && stay >= 0) {
    return { at: Date.parse(shelved.at) + stay * 1000, flow: "shelve_offload", task: "shelving_offloading" };
  }
  return null;
}
