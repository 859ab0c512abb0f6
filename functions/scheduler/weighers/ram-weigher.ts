import type { Weigher } from "./weigher.ts";

/** More free memory is better: spreads; a negative multiplier packs (nova/scheduler/weights/ram.py). */
export const RAMWeigher: Weigher = {
  name: "RAMWeigher",
  multiplier: (config) => config.RAM_WEIGHT_MULTIPLIER,
  minval: 0,
  weigh: (host) => host.capacity.memory_mb - host.used.memory_mb,
};
