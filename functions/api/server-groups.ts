/** /os-server-groups (nova/api/openstack/compute/server_groups.py). */
import type { Context, Hono } from "hono";
import { config } from "../config.ts";
import type { ServerGroup } from "../project/groups.ts";
import type { AppEnv } from "./app-env.ts";
import { badRequest, forbidden, notFound } from "./fault.ts";
import { requireMember } from "./policy.ts";
import { resource } from "./resource.ts";
import { createGroup, listGroups, RULES_MINOR } from "./schema/server-group.ts";
import { jsonBody, query } from "./validate.ts";

/** From here on a group says whose it is. */
const OWNER_MINOR = 13;

const RULE = "os_compute_api:os-server-groups";

type Owned = ServerGroup & { project_id: string };

export function serverGroups(app: Hono<AppEnv>): void {
  resource(app, "/os-server-groups", { GET: list, POST: create });
  resource(app, "/os-server-groups/:id", { GET: show, DELETE: remove });
}

/** Pages go by offset, and a limit of 0 is none. `all_projects` is for admins; others are not told so. */
async function list(c: Context<AppEnv>): Promise<Response> {
  const asked = query(c, listGroups(c.var.minor));
  const { actor } = c.var;
  const projects = asked.all_projects && actor.is_admin ? await allProjects(c) : [actor.project_id];
  const groups = (await Promise.all(projects.map((project) => groupsIn(c, project)))).flat();
  const { MAX_LIMIT } = config(c.env);
  const from = asked.offset ?? 0;
  const page = groups.slice(from, from + Math.min(asked.limit || MAX_LIMIT, MAX_LIMIT));
  return c.json({ server_groups: page.map((group) => view(c, group)) });
}

async function create(c: Context<AppEnv>): Promise<Response> {
  requireMember(c, `${RULE}:create`);
  const { name, policies, policy = policies?.[0], rules } = (await jsonBody(c, createGroup(c.var.minor))).server_group;
  if (policy === undefined) throw badRequest("'policy' is a required property");
  const max_server_per_host = rules?.max_server_per_host ?? null;
  if (max_server_per_host !== null && policy !== "anti-affinity") {
    throw badRequest("Only anti-affinity policy supports rules.");
  }
  const { user_id, project_id } = c.var.actor;
  const made = await c.env.PROJECT.getByName(project_id).createGroup({
    id: crypto.randomUUID(),
    name,
    policy,
    max_server_per_host,
    user_id,
  });
  if (!made.ok) throw forbidden("Quota exceeded, too many server groups.");
  return c.json({ server_group: view(c, { ...made.value, project_id }) });
}

async function show(c: Context<AppEnv>): Promise<Response> {
  return c.json({ server_group: view(c, await groupOf(c)) });
}

async function remove(c: Context<AppEnv>): Promise<Response> {
  requireMember(c, `${RULE}:delete`);
  const { id, project_id } = await groupOf(c);
  if (!(await c.env.PROJECT.getByName(project_id).removeGroup(id))) throw groupNotFound(id);
  return c.body(null, 204);
}

export const groupNotFound = (id: string) => notFound(`Instance group ${id.slice(0, 64)} could not be found.`);

/** The group in the path: of the caller's project, or for an admin of any. */
async function groupOf(c: Context<AppEnv>): Promise<Owned> {
  const id = c.req.param("id") ?? "";
  const { is_admin, project_id: mine } = c.var.actor;
  const others = is_admin ? (await allProjects(c)).filter((project) => project !== mine) : [];
  for (const project_id of [mine, ...others]) {
    const group = await c.env.PROJECT.getByName(project_id).group(id);
    if (group !== null) return { ...group, project_id };
  }
  throw groupNotFound(id);
}

async function allProjects(c: Context<AppEnv>): Promise<string[]> {
  return (await c.env.IDENTITY.getByName("default").projects()).map(({ id }) => id);
}

async function groupsIn(c: Context<AppEnv>, project_id: string): Promise<Owned[]> {
  return (await c.env.PROJECT.getByName(project_id).groups()).map((group) => ({ ...group, project_id }));
}

function view(c: Context<AppEnv>, group: Owned): object {
  const { id, name, members, policy, max_server_per_host, project_id, user_id } = group;
  const { minor } = c.var;
  const rules = max_server_per_host === null ? {} : { max_server_per_host };
  const owner = minor >= OWNER_MINOR ? { project_id, user_id } : {};
  const how = minor >= RULES_MINOR ? { policy, rules } : { policies: [policy], metadata: {} };
  return { id, name, members, ...how, ...owner };
}
