import type { Filter } from "./filter.ts";

/** The host was not tried for this request before (nova-train: scheduler/filters/retry_filter.py). */
export const RetryFilter: Filter = {
  name: "RetryFilter",
  ask({ tried }) {
    const before = new Set(tried);
    return before.size === 0 ? null : ({ host }) => (before.has(host) ? "it was tried before" : null);
  },
};
