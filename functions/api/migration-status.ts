/** What a move's status says of it (nova/api/openstack/compute/server_migrations.py, compute/api.py live_migrate_abort). Pure. */
import type { Migration } from "../project/migration.ts";
import { has } from "./history.ts";

const IN_PROGRESS: readonly string[] = ["queued", "preparing", "running", "post-migrating"];

/** A live migration that is under way: the only kind that is shown under its server, and may be steered. */
export const isLive = ({ migration_type, status }: Migration): boolean =>
  migration_type === "live-migration" && IN_PROGRESS.includes(status);

/** Whether a live migration in this status can be called off at 2.<minor>: from 2.65 on also before it has begun. */
export function mayAbort(status: string, minor: number): boolean {
  const begins = status === "queued" || status === "preparing";
  return status === "running" || (begins && has(minor, "migration.abort-queued"));
}
