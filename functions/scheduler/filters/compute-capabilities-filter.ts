import { capabilitiesOf, capability } from "../capabilities.ts";
import { matches } from "../extra-specs-ops.ts";
import type { Filter } from "./filter.ts";

/**
 * The host is what the flavor's extra specs ask: those in the scope `capabilities:`, and those without a scope
 * (nova/scheduler/filters/compute_capabilities_filter.py).
 */
export const ComputeCapabilitiesFilter: Filter = {
  name: "ComputeCapabilitiesFilter",
  ask({ flavor }) {
    const asked = Object.entries(flavor.extra_specs).flatMap(([key, wanted]) => {
      const path = key.split(":");
      const scoped = path.length > 1;
      return scoped && path.shift() !== "capabilities" ? [] : [{ key, path, wanted, scoped }];
    });
    if (asked.length === 0) return null;
    return (host) => {
      const has = capabilitiesOf(host);
      for (const { key, path, wanted, scoped } of asked) {
        const value = capability(has, path);
        // Without a scope it may be meant for others, as for aggregates.
        if (value === undefined && !scoped) continue;
        if (value === undefined) return `it has no capability ${path.join(":")}`;
        const text = typeof value === "object" ? JSON.stringify(value) : String(value);
        if (!matches(text, wanted)) return `${key} is ${text.slice(0, 64)}, not ${wanted}`;
      }
      return null;
    };
  },
};
