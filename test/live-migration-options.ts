/** How the tests let a live migration go: as Nova does unless it is told otherwise (nova/conf/libvirt.py). */
import type { LiveMigrationOptions } from "../functions/protocol/move.ts";

export const LIVE_MIGRATION: LiveMigrationOptions = {
  live_migration_bandwidth: 0,
  live_migration_downtime: 500,
  live_migration_downtime_steps: 10,
  live_migration_downtime_delay: 75,
  live_migration_completion_timeout: 800,
  live_migration_timeout_action: "abort",
  live_migration_permit_post_copy: false,
  live_migration_permit_auto_converge: false,
};
