/**
 * Filters and weighers that are Workers of the operator's, bound by a service binding: theirs to deploy without ours.
 * They are asked once for all hosts, in the words of FilterService and WeighService.
 */
import { z } from "zod";
import { causeOf, log } from "../log.ts";
import type { FilterStep } from "./decision.ts";
import type { CandidateHost, RequestSpec } from "./host-state.ts";
import { Unweighable } from "./weighers/weigher.ts";

/** What an operator's Worker exports to be a filter: the names of the hosts that pass. */
export interface FilterService {
  filterAll(hosts: readonly CandidateHost[], spec: RequestSpec): string[] | Promise<string[]>;
}
/** What it exports to be a weigher: a number for each host, in their order, in whatever unit. */
export interface WeighService {
  weighAll(hosts: readonly CandidateHost[], spec: RequestSpec): number[] | Promise<number[]>;
}

/** What counts as its answer when it gives none, or none that can be: let all through, or none. */
export type OnFailure = "pass" | "fail";

export type BoundFilter = {
  readonly name: string;
  askAll(
    hosts: readonly CandidateHost[],
    spec: RequestSpec,
  ): Promise<{ left: CandidateHost[]; reasons: FilterStep["reasons"] }>;
};
export type BoundWeigher = {
  readonly name: string;
  readonly option: string;
  readonly minval?: undefined;
  readonly maxval?: undefined;
  multiplier(): number;
  /** Null: it weighs all alike. */
  askAll(hosts: readonly CandidateHost[], spec: RequestSpec): Promise<readonly number[] | null>;
};

type Bound<S> = { name: string; service: S; onFailure: OnFailure; timeoutMs: number };

export function boundFilter({ name, service, onFailure, timeoutMs }: Bound<FilterService>): BoundFilter {
  return {
    name,
    async askAll(hosts, spec) {
      const answer = await answered(name, z.array(z.string()), timeoutMs, () => service.filterAll(hosts, spec));
      if (answer === null && onFailure === "pass") return { left: [...hosts], reasons: [] };
      const names = new Set(answer ?? []);
      const left = hosts.filter(({ host }) => names.has(host));
      const reason = answer === null ? "the filter's Worker did not answer" : "the filter's Worker said no";
      const out = hosts.filter(({ host }) => !names.has(host));
      return { left, reasons: out.map(({ host }) => ({ host, reason })) };
    },
  };
}

/** Its multiplier is 1, and an aggregate's own is named after it: `RackWeigher_weight_multiplier`. */
export function boundWeigher({ name, service, onFailure, timeoutMs }: Bound<WeighService>): BoundWeigher {
  return {
    name,
    option: `${name}_weight_multiplier`,
    multiplier: () => 1,
    async askAll(hosts, spec) {
      const numbers = z.array(z.number()).length(hosts.length);
      const answer = await answered(name, numbers, timeoutMs, () => service.weighAll(hosts, spec));
      if (answer === null && onFailure === "fail") throw new Unweighable(`the Worker of ${name} did not answer`);
      return answer;
    },
  };
}

/** The answer if it comes in time and in shape; null otherwise, and the log says why. */
async function answered<T>(
  name: string,
  shape: z.ZodType<T>,
  timeoutMs: number,
  call: () => T | Promise<T>,
): Promise<T | null> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer in ${timeoutMs} ms`)), timeoutMs);
    });
    return shape.parse(await Promise.race([call(), late]));
  } catch (error) {
    log("scheduler.bound_failed", { name, cause: causeOf(error) });
    return null;
  } finally {
    clearTimeout(timer);
  }
}
