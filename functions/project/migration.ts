/** One move of a server from host to host (nova/objects/migration.py). */

/** How far a live migration has come, in bytes. */
export type MigrationProgress = Record<
  "memory_total" | "memory_processed" | "memory_remaining" | "disk_total" | "disk_processed" | "disk_remaining",
  number
>;

/** What a move's owner, the server, tells of it. Times are ISO 8601 in UTC with milliseconds. */
export type NewMigration = {
  uuid: string;
  instance_uuid: string;
  migration_type: "migration" | "resize" | "live-migration" | "evacuation";
  /**
   * nova: queued, preparing, pre-migrating, migrating, post-migrating, running,
   * finished, confirmed, reverted, completed, done, cancelled, error, …
   */
  status: string;
  source_compute: string | null;
  source_node: string | null;
  dest_compute: string | null;
  dest_node: string | null;
  dest_host: string | null;
  /** Flavors by their ids. */
  old_instance_type_id: string | null;
  new_instance_type_id: string | null;
  created_at: string;
  updated_at: string | null;
  user_id: string;
  project_id: string;
  /** An operator sees none that is hidden. */
  hidden: boolean;
  progress?: MigrationProgress;
};
export type Migration = NewMigration & { id: number };

/** The fields that a filter has to meet exactly. */
export const EQUAL = ["uuid", "instance_uuid", "migration_type", "status", "source_compute", "user_id"] as const;

/** What has to be equal; `host` is either end, and the two times bound the last change, themselves included. */
export type MigrationFilter = {
  [K in (typeof EQUAL)[number] | "host" | "changes-since" | "changes-before"]?: string | undefined;
} & { hidden?: boolean };
