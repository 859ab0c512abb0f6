import type { Filter } from "./filter.ts";

/** The host's service is up and enabled (nova/scheduler/filters/compute_filter.py). */
export const ComputeFilter: Filter = {
  name: "ComputeFilter",
  passes: (host) => host.up && host.enabled,
};
