/** Putting the hosts in order (nova: weights.py BaseWeightHandler), with a record of what each measure said. */
import type { Config } from "../config.ts";
import { leastOf } from "./aggregate-values.ts";
import type { BoundWeigher } from "./bound.ts";
import { MAX_BEST, type Weighed } from "./decision.ts";
import type { CandidateHost, RequestSpec } from "./host-state.ts";
import type { Weigher } from "./weighers/weigher.ts";

export type AnyWeigher = Weigher | BoundWeigher;
type Column = { name: string; raw: readonly number[]; weighted: readonly number[] };
export type Ranked = { host: CandidateHost; weight: number };

/**
 * Best first; `best` tells of the first ten. Each weigher's values are scaled to 0 … 1 over these hosts, times its
 * multiplier, which an aggregate may set for its hosts, and summed. One host alone is not weighed.
 */
export async function weighHosts(
  hosts: readonly CandidateHost[],
  weighers: readonly AnyWeigher[],
  spec: RequestSpec,
  config: Config,
): Promise<{ ranked: Ranked[]; best: Weighed[] }> {
  const totals = hosts.map(() => 0);
  const columns: Column[] = [];
  for (const weigher of hosts.length > 1 ? weighers : []) {
    const raw = await measured(hosts, weigher, spec, config);
    if (raw === null) continue;
    const otherwise = weigher.multiplier(config);
    const scaled = normalize(raw, weigher);
    const weighted = hosts.map((host, at) => leastOf(host, weigher.option, otherwise) * (scaled[at] ?? 0));
    for (const [at, value] of weighted.entries()) totals[at] = (totals[at] ?? 0) + value;
    columns.push({ name: weigher.name, raw, weighted });
  }
  const order = hosts.map((host, at) => ({ host, at, weight: totals[at] ?? 0 })).sort((a, b) => b.weight - a.weight);
  const best = order.slice(0, MAX_BEST).map(({ host, at, weight }) => {
    const of = ({ name, raw, weighted }: Column) => ({ name, raw: raw[at] ?? 0, weighted: weighted[at] ?? 0 });
    return { host: host.host, weight, weighers: columns.map(of) };
  });
  return { ranked: order, best };
}

async function measured(
  hosts: readonly CandidateHost[],
  weigher: AnyWeigher,
  spec: RequestSpec,
  config: Config,
): Promise<readonly number[] | null> {
  if ("askAll" in weigher) return weigher.askAll(hosts, spec);
  const measure = weigher.ask(spec, config);
  return measure && hosts.map(measure);
}

/** Scales values to 0 … 1 between the ends, each the weigher's own or that of the values; all alike: 0 (nova: normalize). */
export function normalize(
  values: readonly number[],
  { minval, maxval }: { minval?: number | undefined; maxval?: number | undefined },
): readonly number[] {
  // No spread into Math.min: thousands of arguments would overflow the stack.
  const low = minval ?? values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const high = maxval ?? values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  return values.map((value) => (high === low ? 0 : (value - low) / (high - low)));
}
