/** Moves of servers that a test makes up. */
import type { NewMigration } from "../functions/project/migration.ts";

/** A live migration that runs, from host one to host two. */
export function moveOf(change: Partial<NewMigration> = {}): NewMigration {
  return {
    uuid: crypto.randomUUID(),
    instance_uuid: crypto.randomUUID(),
    migration_type: "live-migration",
    status: "running",
    source_compute: "one",
    source_node: "one",
    dest_compute: "two",
    dest_node: "two",
    dest_host: null,
    old_instance_type_id: "1",
    new_instance_type_id: "1",
    created_at: new Date().toISOString(),
    updated_at: null,
    user_id: "u",
    project_id: "p",
    hidden: false,
    ...change,
  };
}
