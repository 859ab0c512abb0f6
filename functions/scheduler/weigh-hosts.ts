/** Weighing the hosts (nova: weights.py BaseWeightHandler), with what each measure said at hand. */
import type { Config } from "../config.ts";
import { leastOf } from "./aggregate-values.ts";
import type { BoundWeigher } from "./bound.ts";
import type { Weighed } from "./decision.ts";
import type { CandidateHost, RequestSpec } from "./host-state.ts";
import type { Measure, Weigher } from "./weighers/weigher.ts";

export type AnyWeigher = Weigher | BoundWeigher;
/** By the place of a host among those that were weighed: what its measure was, and what that counts. */
type Column = { name: string; raw(at: number): number; weighted(at: number): number };
/** `totals`: the weight of each host, in their order. */
export type Weights = { totals: Float64Array; columns: Column[] };

/**
 * Each weigher's values are scaled to 0 … 1 over these hosts, times its multiplier, which an aggregate may set for its
 * hosts, and summed. One host alone is not weighed.
 */
export async function weighHosts(
  hosts: readonly CandidateHost[],
  weighers: readonly AnyWeigher[],
  spec: RequestSpec,
  config: Config,
): Promise<Weights> {
  const asked = hosts.length > 1 ? weighers : [];
  const raws = await rawOf(hosts, asked, spec, config);
  const multiplier = multipliersOf(hosts, config);
  const totals = new Float64Array(hosts.length);
  const columns: Column[] = [];
  for (const [index, weigher] of asked.entries()) {
    const values = raws[index];
    if (!values) continue;
    const [scale, times] = [scaleOf(values, weigher), multiplier(weigher)];
    const weighted = (at: number) =>
      (typeof times === "number" ? times : (times[at] ?? 0)) * scaled(values[at] ?? 0, scale);
    if (times !== 0 && scale.high !== scale.low) {
      for (let at = 0; at < totals.length; at++) totals[at] = (totals[at] ?? 0) + weighted(at);
    }
    columns.push({ name: weigher.name, raw: (at) => values[at] ?? 0, weighted });
  }
  return { totals, columns };
}

/** What is told of the hosts at these places. */
export function tellOf(hosts: readonly CandidateHost[], { totals, columns }: Weights, places: number[]): Weighed[] {
  return places.map((at) => ({
    host: hosts[at]?.host ?? "",
    weight: totals[at] ?? 0,
    weighers: columns.map(({ name, raw, weighted }) => ({ name, raw: raw(at), weighted: weighted(at) })),
  }));
}

/** The values of each weigher; null for one that weighs all alike. */
async function rawOf(
  hosts: readonly CandidateHost[],
  weighers: readonly AnyWeigher[],
  spec: RequestSpec,
  config: Config,
): Promise<(ArrayLike<number> | null)[]> {
  const raws: (ArrayLike<number> | null)[] = [];
  const measures: { measure: Measure; values: Float64Array }[] = [];
  for (const weigher of weighers) {
    if ("askAll" in weigher) raws.push(await weigher.askAll(hosts, spec));
    else {
      const measure = weigher.ask(spec, config);
      const values = measure && new Float64Array(hosts.length);
      if (measure && values) measures.push({ measure, values });
      raws.push(values);
    }
  }
  // Host by host, as a host is far from the next in memory, and all that is asked of it near.
  let at = 0;
  for (const host of hosts) {
    for (const { measure, values } of measures) values[at] = measure(host);
    at++;
  }
  return raws;
}

/** A weigher's multiplier, or one for each host where there are aggregates. Hosts of the same ones share one list of them. */
function multipliersOf(hosts: readonly CandidateHost[], config: Config) {
  const hasAggregates = hosts.some(({ aggregates }) => aggregates.length > 0);
  return (weigher: AnyWeigher): number | Float64Array => {
    const otherwise = weigher.multiplier(config);
    if (!hasAggregates) return otherwise;
    const known = new Map<CandidateHost["aggregates"], number>();
    return Float64Array.from(hosts, (host) => {
      const own = known.get(host.aggregates) ?? leastOf(host, weigher.option, otherwise);
      known.set(host.aggregates, own);
      return own;
    });
  };
}

type Scale = { low: number; high: number };

/** The ends of a scale: each the weigher's own, or that of the values. */
export function scaleOf(
  values: ArrayLike<number>,
  { minval, maxval }: { minval?: number | undefined; maxval?: number | undefined },
): Scale {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (let at = 0; at < values.length; at++) {
    const value = values[at] ?? 0;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return { low: minval ?? low, high: maxval ?? high };
}

/** 0 … 1 between the ends; 0 where all are alike (nova: normalize). */
export function scaled(value: number, { low, high }: Scale): number {
  return high === low ? 0 : (value - low) / (high - low);
}
