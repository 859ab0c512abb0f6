import { RAMWeigher } from "./ram-weigher.ts";
import { ServerGroupSoftAffinityWeigher, ServerGroupSoftAntiAffinityWeigher } from "./server-group-weighers.ts";
import type { Weigher } from "./weigher.ts";

/** Every weigher in the box (nova: scheduler.weights.all_weighers). */
export const ALL_WEIGHERS: readonly Weigher[] = [
  RAMWeigher,
  ServerGroupSoftAffinityWeigher,
  ServerGroupSoftAntiAffinityWeigher,
];
