/** /os-server-groups (nova/api/openstack/compute/server_groups.py). */
import type { Context } from "hono";
import type { z } from "zod";
import { config } from "../config.ts";
import type { ServerGroup } from "../project/groups.ts";
import type { AppEnv } from "./app-env.ts";
import { badRequest, forbidden, notFound } from "./fault.ts";
import { has } from "./history.ts";
import { operation, type Paths } from "./operation.ts";
import { type CreateGroup, createGroup, listGroups } from "./schema/server-group.ts";

const RULE = "os_compute_api:os-server-groups";

type Owned = ServerGroup & { project_id: string };

export const serverGroups: Paths = {
  "/os-server-groups": {
    GET: operation({
      summary: "List server groups",
      rule: `${RULE}:index`,
      role: "reader",
      query: listGroups,
      status: 200,
      answers: "server_groups",
      run: (c, { query }) => list(c, query),
    }),
    POST: operation({
      summary: "Create a server group",
      rule: `${RULE}:create`,
      role: "member",
      body: createGroup,
      status: 200,
      answers: "server_group",
      run: (c, { body }) => create(c, body.server_group),
    }),
  },
  "/os-server-groups/:id": {
    GET: operation({
      summary: "Show a server group",
      rule: `${RULE}:show`,
      role: "reader",
      status: 200,
      answers: "server_group",
      run: async (c) => c.json({ server_group: view(c, await groupOf(c)) }),
    }),
    DELETE: operation({
      summary: "Delete a server group; its members stay",
      rule: `${RULE}:delete`,
      role: "member",
      status: 204,
      run: remove,
    }),
  },
};

/** Pages go by offset, and a limit of 0 is none. `all_projects` is for admins; others are not told so. */
async function list(c: Context<AppEnv>, asked: z.infer<ReturnType<typeof listGroups>>): Promise<Response> {
  const { actor } = c.var;
  const projects = asked.all_projects && actor.is_admin ? await allProjects(c) : [actor.project_id];
  const groups = (await Promise.all(projects.map((project) => groupsIn(c, project)))).flat();
  const { MAX_LIMIT } = config(c.env);
  const from = asked.offset ?? 0;
  const page = groups.slice(from, from + Math.min(asked.limit || MAX_LIMIT, MAX_LIMIT));
  return c.json({ server_groups: page.map((group) => view(c, group)) });
}

async function create(c: Context<AppEnv>, asked: CreateGroup): Promise<Response> {
  const { name, policies, policy = policies?.[0], rules } = asked;
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

async function remove(c: Context<AppEnv>): Promise<Response> {
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
  const owner = has(minor, "group.owner") ? { project_id, user_id } : {};
  const how = has(minor, "group.rules") ? { policy, rules } : { policies: [policy], metadata: {} };
  return { id, name, members, ...how, ...owner };
}
