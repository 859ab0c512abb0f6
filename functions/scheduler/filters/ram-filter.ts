import type { Filter } from "./filter.ts";

/** Enough memory is left, after reservation and ratio (nova-queens/scheduler/filters/ram_filter.py). */
export const RamFilter: Filter = {
  name: "RamFilter",
  passes: (host, spec) => host.used.memory_mb + spec.memory_mb <= host.capacity.memory_mb,
};
