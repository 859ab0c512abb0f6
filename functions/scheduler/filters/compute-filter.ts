import type { Filter } from "./filter.ts";

/**
 * The host's service is up and enabled (nova/scheduler/filters/compute_filter.py). Besides, its agent is connected: there
 * is no queue that would hold a build for one that is not, and its host refuses a claim at once.
 */
export const ComputeFilter: Filter = {
  name: "ComputeFilter",
  ask: () => (host) => {
    if (!host.enabled) return "its service is disabled";
    if (host.forced_down) return "its service is forced down";
    if (!host.up) return `its service is down${host.updated_at ? `: no heartbeat since ${host.updated_at}` : ""}`;
    return host.connected ? null : "its agent is not connected";
  },
};
