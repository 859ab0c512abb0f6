/** Quotas in bodies, queries and answers, by microversion (nova/api/openstack/compute/schemas/quota_sets.py). */
import { z } from "zod";
import { entriesOf, type Limits, RESOURCES, type Resource } from "../../project/quota.ts";
import { type Feature, has } from "../history.ts";
import { boolean } from "./fields.ts";
import { last } from "./list.ts";
import { versioned } from "./versioned.ts";

/** Where sets and classes of quotas have not shown a resource at every microversion. */
const ON: Partial<Record<Resource, Partial<Record<Kind, Feature>>>> = {
  server_groups: { class: "quota.class-groups" },
  server_group_members: { class: "quota.class-groups" },
  injected_files: { set: "quota.files", class: "quota.files" },
  injected_file_content_bytes: { set: "quota.files", class: "quota.files" },
  injected_file_path_bytes: { set: "quota.files", class: "quota.files" },
  fixed_ips: { set: "quota.network", class: "quota.class-network" },
  floating_ips: { set: "quota.network", class: "quota.class-network" },
  security_groups: { set: "quota.network", class: "quota.class-network" },
  security_group_rules: { set: "quota.network", class: "quota.class-network" },
};
export type Kind = "set" | "class";

/** The resources that a set or a class shows at 2.<minor>. */
export function shownResources(kind: Kind, minor: number): Resource[] {
  return RESOURCES.filter((resource) => {
    const on = ON[resource]?.[kind];
    return on === undefined || has(minor, on);
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
  const early = (resource: Resource) => ON[resource]?.[kind] === "quota.class-groups";
  const shown = shownResources(kind, minor);
  const names = RESOURCES.filter((resource) => shown.includes(resource) || early(resource));
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

export const quotaQuery = versioned({ user_id: { schema: last } }, "query.strict");
/** `reserved` is old clients' wish to see reservations counted; they always are. */
export const limitsQuery = versioned({ tenant_id: { schema: last }, reserved: { schema: last } }, "query.strict");
