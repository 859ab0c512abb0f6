/** Narrowing the hosts down (nova: host_manager.get_filtered_hosts), with a record of who fell where. */
import type { Config } from "../config.ts";
import type { BoundFilter } from "./bound.ts";
import { type FilterStep, MAX_REASONS } from "./decision.ts";
import type { Filter } from "./filters/filter.ts";
import type { CandidateHost, RequestSpec } from "./host-state.ts";
import { PLACEMENT } from "./placement-query.ts";

export type AnyFilter = Filter | BoundFilter;
export type Filtered = { passed: CandidateHost[]; steps: FilterStep[] };

/**
 * The hosts that every filter lets through, each seeing the survivors of the one before. A host by force is asked
 * what Placement stands for and no filter; a requested destination is asked by all of them.
 */
export async function filterHosts(
  hosts: Iterable<CandidateHost>,
  filters: readonly AnyFilter[],
  spec: RequestSpec,
  config: Config,
): Promise<Filtered> {
  let passed = [...hosts];
  const steps: FilterStep[] = [];
  const keep = (name: string, left: CandidateHost[], reasons: FilterStep["reasons"]) => {
    steps.push({ name, in: passed.length, out: left.length, reasons });
    passed = left;
  };
  const wanted = spec.requested_host ?? spec.requested_destination;
  if (wanted !== null) {
    const name = spec.requested_host === null ? "requested destination" : "forced host";
    const left = passed.filter(({ host }) => host === wanted);
    keep(name, left, left.length > 0 ? [] : [{ host: wanted, reason: "it is not known" }]);
  }
  for (const filter of spec.requested_host === null ? [...PLACEMENT, ...filters] : PLACEMENT) {
    if (passed.length === 0) break;
    if ("askAll" in filter) {
      const { left, reasons } = await filter.askAll(passed, spec);
      keep(filter.name, left, reasons.slice(0, MAX_REASONS));
    } else {
      const { left, reasons } = ask(passed, filter, spec, config);
      keep(filter.name, left, reasons);
    }
  }
  return { passed, steps };
}

function ask(hosts: CandidateHost[], filter: Filter, spec: RequestSpec, config: Config) {
  const reasons: FilterStep["reasons"] = [];
  const check = filter.ask(spec, config);
  if (check === null) return { left: hosts, reasons };
  const left = hosts.filter((host) => {
    const reason = check(host);
    if (reason !== null && reasons.length < MAX_REASONS) reasons.push({ host: host.host, reason });
    return reason === null;
  });
  return { left, reasons };
}
