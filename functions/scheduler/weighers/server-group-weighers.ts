import type { Weigher } from "./weigher.ts";

/** More of the group is better (nova/scheduler/weights/affinity.py). */
export const ServerGroupSoftAffinityWeigher: Weigher = {
  name: "ServerGroupSoftAffinityWeigher",
  multiplier: (config) => config.SOFT_AFFINITY_WEIGHT_MULTIPLIER,
  weigh: ({ host }, { group }) => (group?.policy === "soft-affinity" ? (group.hosts[host] ?? 0) : 0),
};

/** Fewer of the group are better. */
export const ServerGroupSoftAntiAffinityWeigher: Weigher = {
  name: "ServerGroupSoftAntiAffinityWeigher",
  multiplier: (config) => config.SOFT_ANTI_AFFINITY_WEIGHT_MULTIPLIER,
  weigh: ({ host }, { group }) => (group?.policy === "soft-anti-affinity" ? -(group.hosts[host] ?? 0) : 0),
};
