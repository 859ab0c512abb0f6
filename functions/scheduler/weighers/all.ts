import { RAMWeigher } from "./ram-weigher.ts";
import type { Weigher } from "./weigher.ts";

/** Every weigher in the box (nova: scheduler.weights.all_weighers). */
export const ALL_WEIGHERS: readonly Weigher[] = [RAMWeigher];
