/** Choosing a host: filter, weigh, pick among the best (nova: scheduler/manager.py). */
import type { Config } from "../config.ts";
import type { Decision } from "./decision.ts";
import { type AnyFilter, filterHosts } from "./filter-hosts.ts";
import type { CandidateHost, RequestSpec } from "./host-state.ts";
import { type AnyWeigher, type Ranked, weighHosts } from "./weigh-hosts.ts";
import { Unweighable } from "./weighers/weigher.ts";

export type Selection = { chosen: CandidateHost[]; decision: Decision };

/**
 * Hosts to try, the chosen one first, then its alternates: MAX_ATTEMPTS at the most, and how they came to be.
 * @param random 0 ≤ x < 1
 */
export async function selectHosts(
  hosts: ReadonlyMap<string, CandidateHost>,
  { filters, weighers }: { filters: readonly AnyFilter[]; weighers: readonly AnyWeigher[] },
  spec: RequestSpec,
  config: Config,
  random: () => number,
): Promise<Selection> {
  const { passed, steps } = await filterHosts(hosts.values(), filters, spec, config);
  const told = { at: new Date().toISOString(), hosts: hosts.size, filters: steps };
  try {
    const { ranked, best } = await weighHosts(passed, weighers, spec, config);
    const order = config.SHUFFLE_BEST_SAME_WEIGHED_HOSTS ? shuffleBest(ranked, random) : ranked;
    const chosen = pick(order, config.HOST_SUBSET_SIZE, config.MAX_ATTEMPTS, random).map(({ host }) => host);
    return { chosen, decision: { ...told, best, chosen: chosen.map(({ host }) => host), trouble: null } };
  } catch (error) {
    if (!(error instanceof Unweighable)) throw error;
    return { chosen: [], decision: { ...told, best: [], chosen: [], trouble: error.message } };
  }
}

/** Those that weigh as much as the best, in any order (nova: shuffle_best_same_weighed_hosts). */
export function shuffleBest(ranked: readonly Ranked[], random: () => number): Ranked[] {
  const alike = ranked.filter(({ weight }) => weight === ranked[0]?.weight);
  const drawn = alike.map((one) => ({ one, at: random() })).sort((a, b) => a.at - b.at);
  return [...drawn.map(({ one }) => one), ...ranked.slice(alike.length)];
}

/**
 * One of the first `subset` at random, then the others in their order, `attempts` in all.
 * @param random 0 ≤ x < 1
 */
export function pick<T>(ranked: readonly T[], subset: number, attempts: number, random: () => number): T[] {
  const at = Math.floor(random() * Math.min(subset, ranked.length));
  const chosen = ranked[at];
  if (chosen === undefined) return [];
  return [chosen, ...ranked.slice(0, at), ...ranked.slice(at + 1, attempts)].slice(0, attempts);
}
