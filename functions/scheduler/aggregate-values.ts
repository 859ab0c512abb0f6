/** What the aggregates of a host say of it (nova/scheduler/filters/utils.py). Pure. */
import type { Aggregate } from "./aggregates.ts";
import type { CandidateHost } from "./host-state.ts";

/** Every value of one key over the host's aggregates. */
export function valuesOf({ aggregates }: CandidateHost, key: string): string[] {
  return aggregates.flatMap(({ metadata }) => (Object.hasOwn(metadata, key) ? [metadata[key] ?? ""] : []));
}

/** As well, with lists (`a, b`) taken apart. */
export function listedOf(host: CandidateHost, key: string): string[] {
  return valuesOf(host, key).flatMap((value) => value.split(",").map((one) => one.trim()));
}

/** The least number that an aggregate sets; `otherwise` when none does, or one is no number. */
export function leastOf(host: CandidateHost, key: string, otherwise: number): number {
  // Most hosts are in no aggregate, and this is asked of every host for every weigher.
  if (host.aggregates.length === 0) return otherwise;
  const values = valuesOf(host, key).map((value) => (value.trim() === "" ? Number.NaN : Number(value)));
  return values.length === 0 || values.some((value) => !Number.isFinite(value)) ? otherwise : Math.min(...values);
}

/** The projects that aggregates are for; several keys, as one value has 255 characters. */
export function tenantsOf(aggregates: readonly Pick<Aggregate, "metadata">[]): string[] {
  const values = aggregates.flatMap(({ metadata }) => {
    return Object.entries(metadata).flatMap(([key, value]) => (key.startsWith(TENANT_KEY) ? [value] : []));
  });
  return values.flatMap((value) => value.split(",").map((one) => one.trim()));
}

const TENANT_KEY = "filter_tenant_id";
