/** Quotas (nova: quota.py). A limit of -1 is none. Pure. */
import type { TooManyItems } from "../conductor/details.ts";
import type { CreateSpec } from "../conductor/record.ts";
import type { Config } from "../config.ts";
import { err, ok, type Result } from "../result.ts";

/** What a limit can be set on, by the API's names. */
export const RESOURCES = [
  "instances",
  "cores",
  "ram",
  "metadata_items",
  "key_pairs",
  "server_groups",
  "server_group_members",
  "injected_files",
  "injected_file_content_bytes",
  "injected_file_path_bytes",
  "fixed_ips",
  "floating_ips",
  "security_groups",
  "security_group_rules",
] as const;
export type Resource = (typeof RESOURCES)[number];
export type Limits = Record<Resource, number>;

/** What servers use up, in Nova's order of words: sorted by name. `ram` in MiB. */
const COUNTED = ["cores", "instances", "ram"] as const;
export type Usage = Record<(typeof COUNTED)[number], number>;

export type QuotaExceeded = {
  kind: "over_quota";
  /** Only the resources that do not fit. */
  over: { resource: keyof Usage; requested: number; used: number; limit: number }[];
};
/** A limit that may not be set: beyond `bound`, which is what is used, or what a user's project has left. */
export type QuotaRefused = {
  kind: "quota_refused";
  resource: Resource;
  limit: number;
  bound: number;
  at: "min" | "max";
};

/** Limits and what they are held against: a project's, and perhaps one user's in it. */
export type Bound = { limits: Partial<Usage>; used: Usage };

/** The options, as limits: what holds where nothing else is set. Nova has had no network quotas since 2.36. */
export function configuredLimits(options: Config): Limits {
  return {
    instances: options.QUOTA_INSTANCES,
    cores: options.QUOTA_CORES,
    ram: options.QUOTA_RAM,
    metadata_items: options.QUOTA_METADATA_ITEMS,
    key_pairs: options.QUOTA_KEY_PAIRS,
    server_groups: options.QUOTA_SERVER_GROUPS,
    server_group_members: options.QUOTA_SERVER_GROUP_MEMBERS,
    injected_files: options.QUOTA_INJECTED_FILES,
    injected_file_content_bytes: options.QUOTA_INJECTED_FILE_CONTENT_BYTES,
    injected_file_path_bytes: options.QUOTA_INJECTED_FILE_PATH_LENGTH,
    fixed_ips: -1,
    floating_ips: -1,
    security_groups: -1,
    security_group_rules: -1,
  };
}

/** How many of the servers fit within every bound: all of them, or fewer, down to `least`. */
export function fitting(
  bounds: readonly Bound[],
  specs: readonly CreateSpec[],
  least: number,
): Result<number, QuotaExceeded> {
  const wanted: Usage = { instances: 0, cores: 0, ram: 0 };
  const add = ({ flavor }: CreateSpec, sign: 1 | -1) => {
    wanted.instances += sign;
    wanted.cores += sign * flavor.vcpus;
    wanted.ram += sign * flavor.ram;
  };
  for (const spec of specs) add(spec, 1);
  for (let count = specs.length; ; count--) {
    const over = exceeds(bounds, wanted);
    const last = specs[count - 1];
    if (over === null) return ok(count);
    if (count <= least || last === undefined) return err(over);
    add(last, -1);
  }
}

/** What of `wanted` does not fit; null when all does. Of two bounds that are both exceeded the first is told. */
export function exceeds(bounds: readonly Bound[], wanted: Usage): QuotaExceeded | null {
  const over = COUNTED.flatMap((resource) => {
    if (wanted[resource] === 0) return [];
    for (const { limits, used } of bounds) {
      const limit = limits[resource] ?? -1;
      if (limit === -1 || used[resource] + wanted[resource] <= limit) continue;
      return [{ resource, requested: wanted[resource], used: used[resource], limit }];
    }
    return [];
  });
  return over.length === 0 ? null : { kind: "over_quota", over };
}

/** Nova's texts (nova.exception: TooManyInstances, MetadataLimitExceeded). */
export function quotaMessage(error: QuotaExceeded | TooManyItems): string {
  if (error.kind === "too_many_items") return `Maximum number of metadata items exceeds ${error.limit}`;
  const { over } = error;
  const list = (part: (row: QuotaExceeded["over"][number]) => number | string) => over.map(part).join(", ");
  const names = list((row) => row.resource);
  return (
    `Quota exceeded for ${names}: Requested ${list((row) => row.requested)}, ` +
    `but already used ${list((row) => row.used)} of ${list((row) => row.limit)} ${names}`
  );
}

/**
 * What of `change` lies outside what may be set, null when nothing (nova: get_settable_quotas). `min` and `max` give
 * the bounds of one resource; a `max` of -1 is none.
 */
export function refusal(
  change: Partial<Limits>,
  min: (resource: Resource) => number,
  max: (resource: Resource) => number,
): QuotaRefused | null {
  for (const [resource, limit] of entriesOf(change)) {
    const refused = (at: "min" | "max", bound: number) =>
      ({ kind: "quota_refused", resource, limit, bound, at }) as const;
    const [least, most] = [min(resource), max(resource)];
    if (limit !== -1 && limit < least) return refused("min", least);
    if (most !== -1 && (limit === -1 || limit > most)) return refused("max", most);
  }
  return null;
}

/** Nova's text (api/openstack/compute/quota_sets.py _validate_quota_limit). */
export function refusalMessage({ resource, limit, bound, at }: QuotaRefused): string {
  const start = `Quota limit ${limit} for ${resource} must be`;
  if (at === "min") return `${start} greater than or equal to already used and reserved ${bound}.`;
  return `${start} less than or equal to ${bound}.`;
}

export function entriesOf(limits: Partial<Limits>): [Resource, number][] {
  return RESOURCES.flatMap((name): [Resource, number][] => {
    const limit = limits[name];
    return limit === undefined ? [] : [[name, limit]];
  });
}
