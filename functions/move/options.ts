/** How live migrations go (nova/conf/libvirt.py), of every host. */
import { z } from "zod";
import type { Config } from "../config.ts";
import type { LiveMigrationOptions } from "../protocol/move.ts";

const count = (min: number) => z.coerce.number().int().min(min);

export const LIVE_MIGRATION_OPTIONS = {
  /** MiB/s; 0: no limit. */
  LIVE_MIGRATION_BANDWIDTH: count(0),
  /** Milliseconds that a guest may stand still at the end. */
  LIVE_MIGRATION_DOWNTIME: count(100),
  /** So many steps up to that, and seconds between two of them for each GiB. */
  LIVE_MIGRATION_DOWNTIME_STEPS: count(3),
  LIVE_MIGRATION_DOWNTIME_DELAY: count(3),
  /** Seconds for each GiB of memory and disk; 0: never. */
  LIVE_MIGRATION_COMPLETION_TIMEOUT: count(0),
  LIVE_MIGRATION_TIMEOUT_ACTION: z.enum(["abort", "force_complete"]),
  LIVE_MIGRATION_PERMIT_POST_COPY: z.stringbool(),
  LIVE_MIGRATION_PERMIT_AUTO_CONVERGE: z.stringbool(),
} as const;

/** What an agent is told of them. */
export const liveMigrationOptions = (config: Config): LiveMigrationOptions => ({
  live_migration_bandwidth: config.LIVE_MIGRATION_BANDWIDTH,
  live_migration_downtime: config.LIVE_MIGRATION_DOWNTIME,
  live_migration_downtime_steps: config.LIVE_MIGRATION_DOWNTIME_STEPS,
  live_migration_downtime_delay: config.LIVE_MIGRATION_DOWNTIME_DELAY,
  live_migration_completion_timeout: config.LIVE_MIGRATION_COMPLETION_TIMEOUT,
  live_migration_timeout_action: config.LIVE_MIGRATION_TIMEOUT_ACTION,
  live_migration_permit_post_copy: config.LIVE_MIGRATION_PERMIT_POST_COPY,
  live_migration_permit_auto_converge: config.LIVE_MIGRATION_PERMIT_AUTO_CONVERGE,
});
