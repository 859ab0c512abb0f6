/**
 * What a server is to do by itself, and when. Nova polls for it (compute/manager.py: _reclaim_queued_deletes,
 * _poll_shelved_instances, _poll_rescued_instances, _poll_rebooting_instances, _poll_unconfirmed_resizes); here each server's alarm is set for the
 * moment, so shelved_poll_interval means nothing. Pure.
 */
import type { Config } from "../config.ts";
import type { ServerRecord } from "./record.ts";
import type { Action, TaskState } from "./state.ts";

/** `at` in ms since the epoch. */
export type Due = { at: number; action: Action };

/** A reboot that is HARD already has nothing harder to come. */
const REBOOTING_SOFT: ReadonlySet<TaskState | null> = new Set([
  "rebooting",
  "reboot_pending",
  "reboot_started",
] as const);

/** What comes next of itself; null: nothing does. */
export function dueOf(record: ServerRecord, config: Config): Due | null {
  const {
    vm_state,
    task_state,
    updated_at,
    launched_at,
    deleted_at,
    delete_requested,
    shelved,
    resized = null,
  } = record;
  if (REBOOTING_SOFT.has(task_state)) return after(updated_at, config.REBOOT_TIMEOUT, "reboot_hard");
  // Whatever is under way decides what comes after it.
  if (task_state !== null) return null;
  if (delete_requested) return { at: Date.parse(updated_at), action: "soft_delete" };
  if (vm_state === "resized") return after(resized?.at ?? null, config.RESIZE_CONFIRM_WINDOW, "confirm_resize");
  if (vm_state === "rescued") return after(launched_at, config.RESCUE_TIMEOUT, "unrescue");
  if (vm_state === "soft-delete") return after(deleted_at, config.RECLAIM_INSTANCE_INTERVAL, "delete");
  const stay = config.SHELVED_OFFLOAD_TIME;
  if (vm_state === "shelved" && shelved !== null && stay >= 0) {
    return { at: Date.parse(shelved.at) + stay * 1000, action: "shelve_offload" };
  }
  return null;
}

/** `seconds` after `since`, an ISO time; never when that is unknown, or the option is 0. */
function after(since: string | null, seconds: number, action: Action): Due | null {
  return since === null || seconds === 0 ? null : { at: Date.parse(since) + seconds * 1000, action };
}
