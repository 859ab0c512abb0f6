import type { Config } from "../../config.ts";
import type { CandidateHost, RequestSpec } from "../host-state.ts";

/** How good a host is by this measure, in whatever unit. */
export type Measure = (host: CandidateHost) => number;

/** One measure of how good a host is (nova: weights.BaseHostWeigher). Pure. */
export interface Weigher {
  /** The name that SCHEDULER_WEIGHT_CLASSES uses. */
  readonly name: string;
  /** Nova's option for the multiplier: an aggregate's metadata of this name goes before it. */
  readonly option: string;
  multiplier(config: Config): number;
  /** Fixes an end of the scale; without it the scale begins at the lowest host, and ends at the highest. */
  readonly minval?: number;
  readonly maxval?: number;
  /** Read once for a request, then asked of each host; null when it weighs all alike. */
  ask(spec: RequestSpec, config: Config): Measure | null;
}

/** Thrown by a measure that has to be taken and cannot: no host is chosen. */
export class Unweighable extends Error {
  override name = "Unweighable";
}
