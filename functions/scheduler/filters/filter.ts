import type { KnownHost, RequestSpec } from "../host-state.ts";

/** One question about one host (nova: BaseHostFilter.host_passes). Pure: the same host and spec, the same answer. */
export interface Filter {
  /** The name that ENABLED_FILTERS uses. */
  readonly name: string;
  passes(host: KnownHost, spec: RequestSpec): boolean;
}
