import type { Filter } from "./filter.ts";

/** The host reports every metric that METRICS_WEIGHT_SETTING names (nova/scheduler/filters/metrics_filter.py). */
export const MetricsFilter: Filter = {
  name: "MetricsFilter",
  ask(_, { METRICS_WEIGHT_SETTING }) {
    const names = METRICS_WEIGHT_SETTING.map(({ name }) => name);
    if (names.length === 0) return null;
    return ({ inventory: { metrics = {} } }) => {
      const missing = names.filter((name) => !Object.hasOwn(metrics, name));
      return missing.length === 0 ? null : `it reports no metric ${missing.join(", ")}`;
    };
  },
};
