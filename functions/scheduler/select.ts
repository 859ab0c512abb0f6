/** Choosing a host: filter, weigh, pick among the best (nova: scheduler/manager.py). */
import type { Config } from "../config.ts";
import { type Decision, MAX_BEST } from "./decision.ts";
import { type AnyFilter, filterHosts } from "./filter-hosts.ts";
import type { CandidateHost, RequestSpec } from "./host-state.ts";
import { bestOf, pick, shuffleBest } from "./rank.ts";
import { type AnyWeigher, tellOf, weighHosts } from "./weigh-hosts.ts";
import { Unweighable } from "./weighers/weigher.ts";

export type Plugins = { filters: readonly AnyFilter[]; weighers: readonly AnyWeigher[] };
export type Selection = { chosen: CandidateHost[]; decision: Decision };

/**
 * Hosts to try, the chosen one first, then its alternates: MAX_ATTEMPTS at the most, and how they came to be. The choice
 * is at random among the first HOST_SUBSET_SIZE.
 * @param random 0 ≤ x < 1
 */
export async function selectHosts(
  hosts: readonly CandidateHost[],
  { filters, weighers }: Plugins,
  spec: RequestSpec,
  config: Config,
  random: () => number,
): Promise<Selection> {
  const { passed, steps } = await filterHosts(hosts, filters, spec, config);
  const told = { at: new Date().toISOString(), hosts: hosts.length, filters: steps };
  try {
    const weights = await weighHosts(passed, weighers, spec, config);
    const drawn = Math.floor(random() * Math.min(config.HOST_SUBSET_SIZE, passed.length));
    const ranked = bestOf(weights.totals, Math.max(MAX_BEST, config.MAX_ATTEMPTS, drawn + 1));
    const best = tellOf(passed, weights, ranked.slice(0, MAX_BEST));
    const order = config.SHUFFLE_BEST_SAME_WEIGHED_HOSTS ? shuffleBest(ranked, weights.totals, random) : ranked;
    const chosen = pick(order, drawn, config.MAX_ATTEMPTS).flatMap((at) => passed[at] ?? []);
    return { chosen, decision: { ...told, best, chosen: chosen.map(({ host }) => host), trouble: null } };
  } catch (error) {
    if (!(error instanceof Unweighable)) throw error;
    return { chosen: [], decision: { ...told, best: [], chosen: [], trouble: error.message } };
  }
}
