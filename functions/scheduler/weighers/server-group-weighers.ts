import type { Weigher } from "./weigher.ts";

/** More of the group is better (nova/scheduler/weights/affinity.py). */
export const ServerGroupSoftAffinityWeigher: Weigher = {
  name: "ServerGroupSoftAffinityWeigher",
  option: "soft_affinity_weight_multiplier",
  multiplier: (config) => config.SOFT_AFFINITY_WEIGHT_MULTIPLIER,
  ask: ({ group }) => (group?.policy === "soft-affinity" ? ({ host }) => group.hosts[host] ?? 0 : null),
};

/** Fewer of the group are better. */
export const ServerGroupSoftAntiAffinityWeigher: Weigher = {
  name: "ServerGroupSoftAntiAffinityWeigher",
  option: "soft_anti_affinity_weight_multiplier",
  multiplier: (config) => config.SOFT_ANTI_AFFINITY_WEIGHT_MULTIPLIER,
  ask: ({ group }) => (group?.policy === "soft-anti-affinity" ? ({ host }) => -(group.hosts[host] ?? 0) : null),
};
