/** /os-quota-sets and /os-quota-class-sets (nova/api/openstack/compute/quota_sets.py, quota_classes.py). */
import type { Context, Hono } from "hono";
import { config } from "../config.ts";
import { configuredLimits, type Limits, refusalMessage } from "../project/quota.ts";
import type { AppEnv } from "./app-env.ts";
import { badRequest } from "./fault.ts";
import { requireAdmin, requireReaderOf } from "./policy.ts";
import { checkProject } from "./projects.ts";
import { resource } from "./resource.ts";
import { name } from "./schema/fields.ts";
import { type Kind, quotaQuery, shownResources, updateQuotaClass, updateQuotaSet } from "./schema/quota.ts";
import { jsonBody, parse, query } from "./validate.ts";

const SETS = "os_compute_api:os-quota-sets";
const CLASSES = "os_compute_api:os-quota-class-sets";

export function quotaSets(app: Hono<AppEnv>): void {
  resource(app, "/os-quota-sets/:id", { GET: show, PUT: update, DELETE: remove });
  resource(app, "/os-quota-sets/:id/detail", { GET: detail });
  resource(app, "/os-quota-sets/:id/defaults", { GET: defaults });
  resource(app, "/os-quota-class-sets/:id", { GET: showClass, PUT: updateClass });
}

const idOf = (c: Context<AppEnv>) => c.req.param("id") ?? "";
const projectOf = (c: Context<AppEnv>) => c.env.PROJECT.getByName(idOf(c));

async function show(c: Context<AppEnv>): Promise<Response> {
  const { limits } = await quotaOf(c, `${SETS}:show`);
  return c.json({ quota_set: { id: idOf(c), ...shown(c, "set", limits) } });
}

async function detail(c: Context<AppEnv>): Promise<Response> {
  const { limits, in_use, reserved } = await quotaOf(c, `${SETS}:detail`);
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

async function update(c: Context<AppEnv>): Promise<Response> {
  requireAdmin(c, `${SETS}:update`);
  const { force, limits } = await jsonBody(c, updateQuotaSet(c.var.minor));
  const user = userOf(c);
  await checkProject(c, idOf(c));
  const set = await projectOf(c).setQuota(user, limits, force);
  if (!set.ok) throw badRequest(refusalMessage(set.error));
  // Nova's answer to a change has no id, of sets and of classes.
  return c.json({ quota_set: shown(c, "set", (await projectOf(c).quota(user)).limits) });
}

async function remove(c: Context<AppEnv>): Promise<Response> {
  requireAdmin(c, `${SETS}:delete`);
  // The project is not asked for: the quota of one that is gone may be cleaned up.
  await projectOf(c).dropQuota(userOf(c));
  return c.body(null, 202);
}

async function showClass(c: Context<AppEnv>): Promise<Response> {
  requireAdmin(c, `${CLASSES}:show`);
  const id = classOf(c);
  return c.json({ quota_class_set: { id, ...shown(c, "class", await classLimits(c, id)) } });
}

async function updateClass(c: Context<AppEnv>): Promise<Response> {
  requireAdmin(c, `${CLASSES}:update`);
  const limits = await jsonBody(c, updateQuotaClass(c.var.minor));
  const id = classOf(c);
  await c.env.QUOTA_CLASS.getByName(id).change(limits);
  return c.json({ quota_class_set: shown(c, "class", await classLimits(c, id)) });
}

async function quotaOf(c: Context<AppEnv>, rule: string) {
  requireReaderOf(c, idOf(c), rule);
  const user = userOf(c);
  await checkProject(c, idOf(c));
  return projectOf(c).quota(user);
}

/** The user that the query asks about; null for the whole project. */
const userOf = (c: Context<AppEnv>) => query(c, quotaQuery(c.var.minor)).user_id || null;

const classOf = (c: Context<AppEnv>) => parse(name, idOf(c));

async function classLimits(c: Context<AppEnv>, id: string): Promise<Limits> {
  return { ...configuredLimits(config(c.env)), ...(await c.env.QUOTA_CLASS.getByName(id).limits()) };
}

function shown(c: Context<AppEnv>, kind: Kind, limits: Limits): Partial<Limits> {
  return Object.fromEntries(shownResources(kind, c.var.minor).map((resource) => [resource, limits[resource]]));
}
