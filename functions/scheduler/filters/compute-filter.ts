import type { Filter } from "./filter.ts";

/** The host's service is up and enabled (nova/scheduler/filters/compute_filter.py). */
export const ComputeFilter: Filter = {
  name: "ComputeFilter",
  ask: () => (host) => {
    if (!host.enabled) return "its service is disabled";
    return host.up ? null : "its service is down";
  },
};
