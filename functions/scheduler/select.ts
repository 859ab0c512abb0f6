/** Choosing a host: filter, weigh, pick among the best (nova: scheduler/manager.py, host_manager.py, weights.py). Pure. */
import type { Config } from "../config.ts";
import type { Filter } from "./filters/filter.ts";
import type { HostState, KnownHost, RequestSpec } from "./host-state.ts";
import type { Weigher } from "./weighers/weigher.ts";

/** The hosts that every filter lets through, each seeing the survivors of the one before; or the one that is forced. */
export function filterHosts(hosts: readonly KnownHost[], filters: readonly Filter[], spec: RequestSpec): KnownHost[] {
  // nova: force_hosts. The host's own claim still decides.
  if (spec.requested_host !== null) return hosts.filter((host) => host.host === spec.requested_host);
  const destination = spec.requested_destination;
  let left = hosts.filter((host) => destination === null || host.host === destination);
  for (const filter of filters) left = left.filter((host) => filter.passes(host, spec));
  return left;
}

/** Best first. Each weigher's values are scaled to 0 … 1 over these hosts, times its multiplier, and summed. */
export function weighHosts<H extends HostState>(
  hosts: readonly H[],
  weighers: readonly Weigher[],
  spec: RequestSpec,
  config: Config,
): H[] {
  const totals = hosts.map(() => 0);
  for (const weigher of weighers) {
    const raw = hosts.map((host) => weigher.weigh(host, spec));
    const low = weigher.minval ?? raw.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
    const high = raw.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
    const spread = high - low;
    raw.forEach((value, i) => {
      const scaled = spread === 0 ? 0 : (value - low) / spread;
      totals[i] = (totals[i] ?? 0) + weigher.multiplier(config) * scaled;
    });
  }
  const order = hosts.map((host, i) => ({ host, total: totals[i] ?? 0 }));
  order.sort((a, b) => b.total - a.total);
  return order.map(({ host }) => host);
}

/**
 * One of the first `subset` at random, then the others in their order, `attempts` in all.
 * @param random 0 ≤ x < 1
 */
export function pick<H extends HostState>(
  ranked: readonly H[],
  subset: number,
  attempts: number,
  random: () => number,
): H[] {
  const chosen = ranked[Math.floor(random() * Math.min(subset, ranked.length))];
  if (!chosen) return [];
  return [chosen, ...ranked.filter((host) => host !== chosen)].slice(0, attempts);
}

/** The entries of `all` that `names` lists, in that order; throws with the known names when one is unknown. */
export function byName<T extends { name: string }>(kind: string, all: readonly T[], names: readonly string[]): T[] {
  return names.map((name) => {
    const found = all.find((one) => one.name === name);
    if (found) return found;
    throw new Error(`${kind}: ${name} is not one of ${all.map((one) => one.name).join(", ")}`);
  });
}
