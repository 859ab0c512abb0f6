/** Narrowing the hosts down (nova: host_manager.get_filtered_hosts), with a record of who fell where. */
import type { Config } from "../config.ts";
import type { BoundFilter } from "./bound.ts";
import { type FilterStep, MAX_REASONS } from "./decision.ts";
import type { Check, Filter } from "./filters/filter.ts";
import type { CandidateHost, RequestSpec } from "./host-state.ts";
import { PLACEMENT } from "./placement-query.ts";

export type AnyFilter = Filter | BoundFilter;
export type Filtered = { passed: readonly CandidateHost[]; steps: FilterStep[] };

/**
 * The hosts that every filter lets through, each seeing the survivors of the one before. A host by force is asked
 * what Placement stands for and no filter; a requested destination is asked by all of them; and the host of a server
 * that is rebuilt only by those that an image has to do with.
 */
export async function filterHosts(
  hosts: readonly CandidateHost[],
  filters: readonly AnyFilter[],
  spec: RequestSpec,
  config: Config,
): Promise<Filtered> {
  const steps: FilterStep[] = [];
  let passed = hosts;
  const { ignored_hosts = [] } = spec;
  if (ignored_hosts.length > 0) {
    passed = hosts.filter(({ host }) => !ignored_hosts.includes(host));
    const reasons = ignored_hosts.slice(0, MAX_REASONS).map((host) => ({ host, reason: "it is not to be chosen" }));
    steps.push({ name: "ignored hosts", in: hosts.length, out: passed.length, reasons });
  }
  const wanted = spec.requested_host ?? spec.requested_destination;
  if (wanted !== null) {
    passed = passed.filter(({ host }) => host === wanted);
    const reasons = passed.length > 0 ? [] : [{ host: wanted, reason: "it is not known" }];
    steps.push({ name: wantedAs(spec), in: hosts.length, out: passed.length, reasons });
  }
  let plain: Filter[] = [];
  const siftPlain = () => {
    passed = sift(passed, plain, spec, config, steps);
    plain = [];
  };
  for (const filter of asked(filters, spec)) {
    if (!("askAll" in filter)) {
      plain.push(filter);
      continue;
    }
    siftPlain();
    if (passed.length === 0) break;
    const { left, reasons } = await filter.askAll(passed, spec);
    steps.push({ name: filter.name, in: passed.length, out: left.length, reasons: reasons.slice(0, MAX_REASONS) });
    passed = left;
  }
  siftPlain();
  return { passed, steps };
}

function wantedAs({ is_rebuild, requested_host }: RequestSpec): string {
  if (is_rebuild) return "current host";
  return requested_host === null ? "requested destination" : "forced host";
}

/** The filters that a request is for; nova: what takes no new claim asks nothing of Placement. */
function asked(filters: readonly AnyFilter[], { is_rebuild, requested_host }: RequestSpec): readonly AnyFilter[] {
  if (is_rebuild) return filters.filter((filter) => "run_on_rebuild" in filter && filter.run_on_rebuild);
  return requested_host === null ? [...PLACEMENT, ...filters] : PLACEMENT;
}

/** A filter at work on one request. */
type Sieve = { name: string; check: Check | null; fell: number; reasons: FilterStep["reasons"] };
type Asking = Sieve & { check: Check };

/** The hosts that all of `filters` let through; `steps` gets one of each, up to that which leaves none. */
function sift(
  hosts: readonly CandidateHost[],
  filters: readonly Filter[],
  spec: RequestSpec,
  config: Config,
  steps: FilterStep[],
): readonly CandidateHost[] {
  const sieves = filters.map((filter): Sieve => {
    return { name: filter.name, check: filter.ask(spec, config), fell: 0, reasons: [] };
  });
  // Host by host, as a host is far from the next in memory, and all that is asked of it near.
  const asking = sieves.filter((sieve): sieve is Asking => sieve.check !== null);
  const left = asking.length === 0 ? hosts : hosts.filter((host) => passes(host, asking));
  let remain = hosts.length;
  for (const { name, fell, reasons } of sieves) {
    if (remain === 0) break;
    steps.push({ name, in: remain, out: remain - fell, reasons });
    remain -= fell;
  }
  return left;
}

function passes(host: CandidateHost, sieves: readonly Asking[]): boolean {
  for (const sieve of sieves) {
    const reason = sieve.check(host);
    if (reason === null) continue;
    sieve.fell++;
    if (sieve.reasons.length < MAX_REASONS) sieve.reasons.push({ host: host.host, reason });
    return false;
  }
  return true;
}
