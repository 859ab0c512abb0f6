import { Unweighable, type Weigher } from "./weigher.ts";

/**
 * The sum of the host's metrics, each times its ratio in METRICS_WEIGHT_SETTING. A host that reports not all of them
 * fails the request, which MetricsFilter is there to prevent, or weighs METRICS_WEIGHT_OF_UNAVAILABLE where METRICS_REQUIRED
 * is false (nova/scheduler/weights/metrics.py).
 */
export const MetricsWeigher: Weigher = {
  name: "MetricsWeigher",
  option: "metrics_weight_multiplier",
  multiplier: (config) => config.METRICS_WEIGHT_MULTIPLIER,
  ask(_, { METRICS_WEIGHT_SETTING: setting, METRICS_REQUIRED, METRICS_WEIGHT_OF_UNAVAILABLE }) {
    if (setting.length === 0) return null;
    return ({ host, inventory: { metrics = {} } }) => {
      let sum = 0;
      for (const { name, ratio } of setting) {
        const value = Object.hasOwn(metrics, name) ? metrics[name] : undefined;
        if (value === undefined && METRICS_REQUIRED) throw new Unweighable(`${host} reports no metric ${name}`);
        if (value === undefined) return METRICS_WEIGHT_OF_UNAVAILABLE;
        sum += ratio * value;
      }
      return sum;
    };
  },
};
