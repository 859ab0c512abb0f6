import { AvailabilityZoneFilter } from "./availability-zone-filter.ts";
import { ComputeFilter } from "./compute-filter.ts";
import type { Filter } from "./filter.ts";
import { RamFilter } from "./ram-filter.ts";
import { ServerGroupAffinityFilter, ServerGroupAntiAffinityFilter } from "./server-group-filters.ts";

/** Every filter in the box (nova: scheduler.filters.all_filters). */
export const ALL_FILTERS: readonly Filter[] = [
  ComputeFilter,
  AvailabilityZoneFilter,
  RamFilter,
  ServerGroupAntiAffinityFilter,
  ServerGroupAffinityFilter,
];
