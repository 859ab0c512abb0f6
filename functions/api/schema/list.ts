/** The query of GET /servers (nova/api/openstack/compute/schemas/servers.py query_params_v21). */
import { z } from "zod";
import { boolean as anyBoolean } from "./fields.ts";

/** A repeated parameter comes as a list; where one value is meant, the last is taken. */
export const last = z.array(z.string().max(255)).transform((values) => values.at(-1) ?? "");

/** As in a body, but a query has only strings. */
export const truth = z.string().pipe(anyBoolean as z.ZodType<boolean, string>);

export const whole = last.pipe(z.string().regex(/^[0-9]{1,10}$/, "It is not a whole number.")).transform(Number);

/**
 * What a list of servers takes beside its filters (functions/project/filters.ts). Other parameters are ignored up to
 * 2.74, as Nova ignores them.
 */
export const listServers = z
  .object({
    /** Bare `all_tenants` means yes. */
    all_tenants: last
      .transform((text) => text || "true")
      .pipe(truth)
      .optional(),
    project_id: last.optional(),
    tenant_id: last.optional(),
    deleted: last.pipe(truth).optional(),
    sort_key: z.array(z.string().max(64)).max(16).optional(),
    sort_dir: z
      .array(z.enum(["asc", "desc"]))
      .max(16)
      .optional(),
    limit: whole.optional(),
    marker: last.optional(),
  })
  .catchall(z.array(z.string().max(255)).max(100));
export type ListServers = z.infer<typeof listServers>;

/** From 2.58 on. */
export const listActions = z.object({
  limit: whole.optional(),
  marker: last.optional(),
  "changes-since": last
    .refine((text) => !Number.isNaN(Date.parse(text)), "It is not a time in ISO 8601.")
    .transform((text) => new Date(text).toISOString())
    .optional(),
});
