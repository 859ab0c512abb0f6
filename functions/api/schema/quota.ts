/** Quotas in bodies, queries and answers, by microversion (nova/api/openstack/compute/schemas/quota_sets.py). */
import { z } from "zod";
import { entriesOf, type Limits, RESOURCES, type Resource } from "../../project/quota.ts";
import { boolean } from "./fields.ts";
import { last } from "./list.ts";

/** The first and the last microversion 2.x that shows a resource. */
type Span = { since?: number; until?: number };

/** Which resources sets and classes of quotas show: the network's went with 2.36 and 2.50, the files' with 2.57. */
const SPANS: Partial<Record<Resource, { set?: Span; class?: Span }>> = {
  server_groups: { class: { since: 50 } },
  server_group_members: { class: { since: 50 } },
  injected_files: { set: { until: 56 }, class: { until: 56 } },
  injected_file_content_bytes: { set: { until: 56 }, class: { until: 56 } },
  injected_file_path_bytes: { set: { until: 56 }, class: { until: 56 } },
  fixed_ips: { set: { until: 35 }, class: { until: 49 } },
  floating_ips: { set: { until: 35 }, class: { until: 49 } },
  security_groups: { set: { until: 35 }, class: { until: 49 } },
  security_group_rules: { set: { until: 35 }, class: { until: 49 } },
};
export type Kind = "set" | "class";

/** The resources that a set or a class shows at 2.<minor>. */
export function shownResources(kind: Kind, minor: number): Resource[] {
  return RESOURCES.filter((resource) => {
    const { since = 1, until = Number.POSITIVE_INFINITY } = SPANS[resource]?.[kind] ?? {};
    return minor >= since && minor <= until;
  });
}

/** -1, or a whole number, also as digits. */
const limit = z
  .union([z.int(), z.string().regex(/^-?[0-9]{1,10}$/)])
  .transform(Number)
  .pipe(
    z
      .int()
      .min(-1)
      .max(2 ** 31 - 1),
  );

type LimitsBody = Partial<Limits> & { force?: boolean };
const limitsOf = (body: LimitsBody) => Object.fromEntries(entriesOf(body)) as Partial<Limits>;

/** A class took the server groups' limits in a body before it showed them. */
function limits(kind: Kind, minor: number, extra: Record<string, z.ZodType>): z.ZodType<LimitsBody> {
  const names = RESOURCES.filter((resource) => minor <= (SPANS[resource]?.[kind]?.until ?? Number.POSITIVE_INFINITY));
  const shape = Object.fromEntries(names.map((name) => [name, limit.optional()]));
  return z.strictObject({ ...shape, ...extra }) as unknown as z.ZodType<LimitsBody>;
}

/** The body of PUT /os-quota-sets/{project}. */
export function updateQuotaSet(minor: number) {
  const quota_set = limits("set", minor, { force: boolean.optional() });
  return z
    .strictObject({ quota_set })
    .transform(({ quota_set: body }) => ({ force: body.force ?? false, limits: limitsOf(body) }));
}

/** The body of PUT /os-quota-class-sets/{class}. */
export function updateQuotaClass(minor: number) {
  return z
    .strictObject({ quota_class_set: limits("class", minor, {}) })
    .transform(({ quota_class_set: body }) => limitsOf(body));
}

/** From 2.75 on a query with an unknown parameter is refused. */
const STRICT_MINOR = 75;

export function parameters<S extends z.ZodRawShape>(minor: number, shape: S): z.ZodObject<S> {
  return minor >= STRICT_MINOR ? (z.strictObject(shape) as unknown as z.ZodObject<S>) : z.object(shape);
}

export const quotaQuery = (minor: number) => parameters(minor, { user_id: last.optional() });
/** `reserved` is old clients' wish to see reservations counted; they always are. */
export const limitsQuery = (minor: number) =>
  parameters(minor, { tenant_id: last.optional(), reserved: last.optional() });
