/** The filters that users of older Novas name; what Placement stands for is checked without them, too. */
import type { Resources } from "../../compute/claims.ts";
import type { CandidateHost, RequestSpec } from "../host-state.ts";
import type { Filter } from "./filter.ts";

const TOTAL = { vcpus: "vcpus", memory_mb: "memory_mb", disk_gb: "local_gb" } as const;

/** Why the host has too little of one resource, after reservation and ratio; null when it has enough. */
export function tooLittle(host: CandidateHost, spec: RequestSpec, of: keyof Resources): string | null {
  if (spec[of] === 0) return null;
  const total = host.inventory[TOTAL[of]];
  // A server may not be on one host with itself: what a ratio adds is for others (nova: max_unit).
  if (spec[of] > total) return `${of}: ${spec[of]} asked for, the host has ${total}`;
  const free = host.capacity[of] - host.used[of];
  return spec[of] <= free ? null : `${of}: ${spec[of]} asked for, ${free} free`;
}

const filter = (name: string, of: keyof Resources): Filter => ({
  name,
  ask: (spec) => (host) => tooLittle(host, spec, of),
});

/** Enough memory is left (nova-queens/scheduler/filters/ram_filter.py). */
export const RamFilter = filter("RamFilter", "memory_mb");
/** Enough vcpus are left (nova-queens/scheduler/filters/core_filter.py). */
export const CoreFilter = filter("CoreFilter", "vcpus");
/** Enough disk is left (nova-queens/scheduler/filters/disk_filter.py). */
export const DiskFilter = filter("DiskFilter", "disk_gb");
