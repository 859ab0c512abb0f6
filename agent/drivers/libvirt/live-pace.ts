/** When a live migration is given more downtime, and when it is out of time (nova/virt/libvirt/migration.py). Pure. */
import type { LiveMigrationOptions } from "../../../functions/protocol/move.ts";

const GIB = 2 ** 30;
/** What a smaller memory, or a smaller disk, counts as (nova: _live_migration_data_gb). */
const LEAST_GIB = 2;
/** Less than this share of the memory was copied in a round: another will not be enough. */
const LITTLE_PROGRESS = 0.1;

/** libvirt's names, which are Nova's. */
export const FIGURES = [
  "memory_total",
  "memory_processed",
  "memory_remaining",
  "disk_total",
  "disk_processed",
  "disk_remaining",
] as const;

/** How much there is to copy, by which delays and timeouts are multiplied. */
export function dataGib({ memoryBytes, diskBytes }: { memoryBytes: number; diskBytes: number }): number {
  const disk = diskBytes === 0 ? 0 : Math.max(LEAST_GIB, Math.ceil(diskBytes / GIB));
  return Math.max(LEAST_GIB, Math.ceil(memoryBytes / GIB)) + disk;
}

type DowntimeOptions = Pick<
  LiveMigrationOptions,
  "live_migration_downtime" | "live_migration_downtime_steps" | "live_migration_downtime_delay"
>;

/** nova: downtime_steps. From a part of the downtime to all of it, in equal steps. */
export function downtimeSteps(
  {
    live_migration_downtime: downtime,
    live_migration_downtime_steps: steps,
    live_migration_downtime_delay: delay,
  }: DowntimeOptions,
  gib: number,
): { afterSeconds: number; ms: number }[] {
  const least = downtime / steps;
  const more = (downtime - least) / steps;
  return Array.from({ length: steps + 1 }, (_, i) => ({
    afterSeconds: Math.floor(delay * gib) * i,
    ms: Math.floor(least + more * i),
  }));
}

/** nova: should_switch_to_postcopy. The figures of libvirt's job at the beginning of a round, and of the one before it. */
export function postCopyIsDue(before: ReadonlyMap<string, number>, now: ReadonlyMap<string, number>): boolean {
  if ((now.get("memory_iteration") ?? 0) <= 1) return false;
  const [was, is] = [before.get("data_remaining") ?? 0, now.get("data_remaining") ?? 0];
  return was === 0 || (was - is) / was < LITTLE_PROGRESS;
}
