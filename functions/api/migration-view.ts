/** How moves of servers are shown (nova/api/openstack/compute/migrations.py, server_migrations.py). */
import type { Context } from "hono";
import type { Migration } from "../project/migration.ts";
import type { AppEnv } from "./app-env.ts";
import { has } from "./history.ts";
import { isLive } from "./migration-status.ts";
import { links } from "./resource.ts";
import { microseconds } from "./timestamp.ts";

export function migrationView(c: Context<AppEnv>, move: Migration): object {
  const { id, uuid, instance_uuid, migration_type, status, old_instance_type_id, new_instance_type_id } = move;
  const { minor } = c.var;
  const linked = has(minor, "migration.type") && isLive(move);
  return {
    id,
    instance_uuid,
    status,
    ...hosts(c, move),
    old_instance_type_id,
    new_instance_type_id,
    ...times(move),
    ...(has(minor, "migration.type") ? { migration_type } : {}),
    ...(linked ? { links: links(c, `servers/${instance_uuid}/migrations`, String(id)) } : {}),
    ...(has(minor, "migration.paging") ? { uuid } : {}),
    ...owner(c, move),
  };
}

export function serverMigrationView(c: Context<AppEnv>, move: Migration): object {
  const { id, uuid, instance_uuid, status, progress } = move;
  return {
    id,
    server_uuid: instance_uuid,
    status,
    ...hosts(c, move),
    ...times(move),
    memory_total_bytes: progress?.memory_total ?? null,
    memory_processed_bytes: progress?.memory_processed ?? null,
    memory_remaining_bytes: progress?.memory_remaining ?? null,
    disk_total_bytes: progress?.disk_total ?? null,
    disk_processed_bytes: progress?.disk_processed ?? null,
    disk_remaining_bytes: progress?.disk_remaining ?? null,
    ...(has(c.var.minor, "migration.paging") ? { uuid } : {}),
    ...owner(c, move),
  };
}

/** Which hosts there are is for admins to know. */
function hosts(c: Context<AppEnv>, { source_compute, source_node, dest_compute, dest_node, dest_host }: Migration) {
  const told = { source_compute, source_node, dest_compute, dest_node, dest_host };
  if (c.var.actor.is_admin) return told;
  return { source_compute: null, source_node: null, dest_compute: null, dest_node: null, dest_host: null };
}

const times = ({ created_at, updated_at }: Migration) => ({
  created_at: microseconds(created_at),
  updated_at: microseconds(updated_at),
});

function owner(c: Context<AppEnv>, { user_id, project_id }: Migration): object {
  return has(c.var.minor, "migration.owner") ? { user_id, project_id } : {};
}
