import type { Config } from "../../config.ts";
import type { HostState, RequestSpec } from "../host-state.ts";

/** One measure of how good a host is (nova: weights.BaseHostWeigher). */
export interface Weigher {
  /** The name that WEIGHT_CLASSES uses. */
  readonly name: string;
  multiplier(config: Config): number;
  /** Fixes the low end of the scale; without it the scale begins at the lowest host. */
  readonly minval?: number;
  weigh(host: HostState, spec: RequestSpec): number;
}
