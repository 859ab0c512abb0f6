import type { Config } from "../../config.ts";
import type { CandidateHost, RequestSpec } from "../host-state.ts";

/** Why this host will not do, in a few words for an operator; null when it passes. */
export type Check = (host: CandidateHost) => string | null;

/** One question about each host (nova: BaseHostFilter). Pure: the same host and request, the same answer. */
export interface Filter {
  /** The name that SCHEDULER_ENABLED_FILTERS uses. */
  readonly name: string;
  /** Whether a server that is rebuilt from another image asks it of its host (nova: RUN_ON_REBUILD). */
  readonly run_on_rebuild?: true;
  /** Read once for a request, then asked of each host; null when the request raises no question, and all pass. */
  ask(spec: RequestSpec, config: Config): Check | null;
}
