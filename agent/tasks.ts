/**
 * The agent's periodic tasks (nova/compute/manager.py), each by the option that Nova has for it. Of Nova's others:
 *
 * | Nova's task | here |
 * |---|---|
 * | _check_instance_build_time, _poll_rebooting_instances, _poll_rescued_instances, _poll_unconfirmed_resizes, _poll_shelved_instances, _reclaim_queued_deletes | the edge: each server's own alarm, for its moment (functions/conductor/due.ts) |
 * | _cleanup_expired_console_auth_tokens | the edge: an alarm where the tokens are (functions/console/console-auth.ts) |
 * | _sync_scheduler_instance_info | nothing: the scheduler hears of every claim from the host's object as it is made |
 * | _instance_usage_audit, _poll_volume_usage | nothing: neither notifications nor volumes |
 * | _cleanup_incomplete_migrations | the edge: it dismisses the server from a host that has no more part in its move |
 */
import type { AgentConfig } from "./config.ts";
import type { DeletedGuests } from "./deleted-guests.ts";
import type { ImageCache } from "./images.ts";
import type { Journal } from "./journal.ts";
import type { Log } from "./log.ts";
import { every } from "./periodic.ts";
import type { Reconcile } from "./reconcile.ts";
import type { ResourceTracker } from "./resource-tracker.ts";
import type { Snapshots } from "./snapshots.ts";

const PRUNE_JOURNAL_S = 24 * 60 * 60;
const PRUNE_SNAPSHOTS_S = 60 * 60;

export type TasksParts = {
  config: AgentConfig;
  reconcile: Reconcile;
  tracker: ResourceTracker;
  deleted: DeletedGuests;
  images: ImageCache;
  snapshots: Snapshots;
  journal: Journal;
  log: Log;
};

/** Starts them all; returns the way to stop them. */
export function startTasks({
  config,
  reconcile,
  tracker,
  deleted,
  images,
  snapshots,
  journal,
  log,
}: TasksParts): () => void {
  const tasks: [name: string, seconds: number, run: () => Promise<void> | void][] = [
    ["sync_power_states", config.sync_power_state_interval, () => reconcile.syncPowerStates()],
    ["heal_instance_info_cache", config.heal_instance_info_cache_interval, () => reconcile.healInfoCache()],
    ["update_resources", config.update_resources_interval, () => tracker.update()],
    ["cleanup_running_deleted_instances", config.running_deleted_instance_poll_interval, () => deleted.cleanUp()],
    ["run_pending_deletes", config.instance_delete_interval, () => deleted.deleteFiles()],
    ["image_cache_manager", config.image_cache.manager_interval, () => images.prune()],
    ["prune_snapshots", PRUNE_SNAPSHOTS_S, () => snapshots.prune()],
    ["prune_journal", PRUNE_JOURNAL_S, () => journal.prune()],
  ];
  const ends = tasks.map(([name, seconds, run]) => every({ name, intervalMs: seconds * 1000, run, log }));
  return () => {
    for (const end of ends) end();
  };
}
