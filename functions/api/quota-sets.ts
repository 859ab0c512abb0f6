/** /os-quota-sets and /os-quota-class-sets (nova/api/openstack/compute/quota_sets.py, quota_classes.py). */
import type { Context } from "hono";
import type { z } from "zod";
import { config } from "../config.ts";
import { configuredLimits, type Limits, refusalMessage } from "../project/quota.ts";
import type { AppEnv } from "./app-env.ts";
import { badRequest } from "./fault.ts";
import { operation, type Paths } from "./operation.ts";
import { requireReaderOf } from "./policy.ts";
import { checkProject } from "./projects.ts";
import { name } from "./schema/fields.ts";
import { type Kind, quotaQuery, shownResources, updateQuotaClass, updateQuotaSet } from "./schema/quota.ts";
import { parse } from "./validate.ts";

const SETS = "os_compute_api:os-quota-sets";
const CLASSES = "os_compute_api:os-quota-class-sets";

export const quotaSets: Paths = {
  "/os-quota-sets/:id": {
    GET: operation({
      summary: "Show the quota of a project, or of one user in it",
      rule: `${SETS}:show`,
      role: "reader",
      query: quotaQuery,
      status: 200,
      answers: "quota_set",
      run: (c, { query }) => show(c, userOf(query)),
    }),
    PUT: operation({
      summary: "Set limits of a project, or of one user in it",
      rule: `${SETS}:update`,
      role: "admin",
      query: quotaQuery,
      body: updateQuotaSet,
      status: 200,
      answers: "quota_set",
      run: (c, { query, body }) => update(c, userOf(query), body),
    }),
    DELETE: operation({
      summary: "Set a quota back to the defaults",
      rule: `${SETS}:delete`,
      role: "admin",
      query: quotaQuery,
      status: 202,
      run: (c, { query }) => remove(c, userOf(query)),
    }),
  },
  "/os-quota-sets/:id/detail": {
    GET: operation({
      summary: "Show a quota with what is used of it",
      rule: `${SETS}:detail`,
      role: "reader",
      query: quotaQuery,
      status: 200,
      answers: "quota_set",
      run: (c, { query }) => detail(c, userOf(query)),
    }),
  },
  "/os-quota-sets/:id/defaults": {
    GET: operation({
      summary: "Show the limits that a project has by default",
      rule: `${SETS}:defaults`,
      role: "reader",
      status: 200,
      answers: "quota_set",
      run: defaults,
    }),
  },
  "/os-quota-class-sets/:id": {
    GET: operation({
      summary: "Show the limits of a quota class",
      rule: `${CLASSES}:show`,
      role: "admin",
      status: 200,
      answers: "quota_class_set",
      run: showClass,
    }),
    PUT: operation({
      summary: "Set limits of a quota class",
      rule: `${CLASSES}:update`,
      role: "admin",
      body: updateQuotaClass,
      status: 200,
      answers: "quota_class_set",
      run: (c, { body }) => updateClass(c, body),
    }),
  },
};

const idOf = (c: Context<AppEnv>) => c.req.param("id") ?? "";
const projectOf = (c: Context<AppEnv>) => c.env.PROJECT.getByName(idOf(c));

async function show(c: Context<AppEnv>, user: string | null): Promise<Response> {
  const { limits } = await quotaOf(c, user, `${SETS}:show`);
  return c.json({ quota_set: { id: idOf(c), ...shown(c, "set", limits) } });
}

async function detail(c: Context<AppEnv>, user: string | null): Promise<Response> {
  const { limits, in_use, reserved } = await quotaOf(c, user, `${SETS}:detail`);
  const used: Partial<Limits> = in_use;
  const held: Partial<Limits> = reserved;
  const rows = shownResources("set", c.var.minor).map((resource) => {
    return [resource, { limit: limits[resource], in_use: used[resource] ?? 0, reserved: held[resource] ?? 0 }];
  });
  return c.json({ quota_set: { id: idOf(c), ...Object.fromEntries(rows) } });
}

async function defaults(c: Context<AppEnv>): Promise<Response> {
  await checkProject(c, idOf(c));
  return c.json({ quota_set: { id: idOf(c), ...shown(c, "set", await classLimits(c, "default")) } });
}

async function update(
  c: Context<AppEnv>,
  user: string | null,
  { force, limits }: z.infer<ReturnType<typeof updateQuotaSet>>,
): Promise<Response> {
  await checkProject(c, idOf(c));
  const set = await projectOf(c).setQuota(user, limits, force);
  if (!set.ok) throw badRequest(refusalMessage(set.error));
  // Nova's answer to a change has no id, of sets and of classes.
  return c.json({ quota_set: shown(c, "set", (await projectOf(c).quota(user)).limits) });
}

async function remove(c: Context<AppEnv>, user: string | null): Promise<Response> {
  // The project is not asked for: the quota of one that is gone may be cleaned up.
  await projectOf(c).dropQuota(user);
  return c.body(null, 202);
}

async function showClass(c: Context<AppEnv>): Promise<Response> {
  const id = classOf(c);
  return c.json({ quota_class_set: { id, ...shown(c, "class", await classLimits(c, id)) } });
}

async function updateClass(c: Context<AppEnv>, limits: Partial<Limits>): Promise<Response> {
  const id = classOf(c);
  await c.env.QUOTA_CLASS.getByName(id).change(limits);
  return c.json({ quota_class_set: shown(c, "class", await classLimits(c, id)) });
}

async function quotaOf(c: Context<AppEnv>, user: string | null, rule: string) {
  requireReaderOf(c, idOf(c), rule);
  await checkProject(c, idOf(c));
  return projectOf(c).quota(user);
}

/** The user that the query asks about; null for the whole project. */
const userOf = ({ user_id }: z.infer<ReturnType<typeof quotaQuery>>) => user_id || null;

const classOf = (c: Context<AppEnv>) => parse(name, idOf(c));

async function classLimits(c: Context<AppEnv>, id: string): Promise<Limits> {
  return { ...configuredLimits(config(c.env)), ...(await c.env.QUOTA_CLASS.getByName(id).limits()) };
}

function shown(c: Context<AppEnv>, kind: Kind, limits: Limits): Partial<Limits> {
  return Object.fromEntries(shownResources(kind, c.var.minor).map((resource) => [resource, limits[resource]]));
}
