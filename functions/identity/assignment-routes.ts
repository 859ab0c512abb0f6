/** Roles on projects: given, taken away, asked about; and the list of all of them. */
import type { Context, Hono } from "hono";
import { z } from "zod";
import type { AppEnv } from "../api/app-env.ts";
import { forbidden, notFound } from "../api/fault.ts";
import { originOf, resource } from "../api/resource.ts";
import { boolean } from "../api/schema/fields.ts";
import { query } from "../api/validate.ts";
import type { Assignment, AssignmentNames } from "./assignments.ts";
import { missing } from "./entity-routes.ts";
import { domainView, page, roleView } from "./entity-views.ts";
import { revocationsOf } from "./revocation-cache.ts";
import { DEFAULT_DOMAIN } from "./tables.ts";
import { callerOf, permitted } from "./valid-token.ts";

const last = z.array(z.string().max(255)).transform((values) => values.at(-1) ?? "");
/** A bare name means yes. */
const flag = last
  .transform((text) => text || "true")
  .pipe(boolean as z.ZodType<boolean, string>)
  .optional();
const filters = z.object({
  "user.id": last.optional(),
  "role.id": last.optional(),
  "scope.project.id": last.optional(),
  "scope.domain.id": last.optional(),
  "scope.system": last.optional(),
  "group.id": last.optional(),
  include_names: flag,
});

export function assignmentRoutes(app: Hono<AppEnv>): void {
  resource(app, "/v3/projects/:project/users/:user/roles", { GET: roles });
  resource(app, "/v3/projects/:project/users/:user/roles/:role", { GET: check, PUT: add, DELETE: remove });
  resource(app, "/v3/role_assignments", { GET: list });
  resource(app, "/v3/domains", { GET: domains });
  resource(app, "/v3/domains/:id", { GET: domain });
}

async function roles(c: Context<AppEnv>): Promise<Response> {
  await permitted(c, "list_grants");
  const { user_id, project_id } = assignmentOf(c);
  const identity = c.env.IDENTITY.getByName("default");
  if ((await identity.show("project", project_id)) === null) throw missing("project", project_id);
  if ((await identity.show("user", user_id)) === null) throw missing("user", user_id);
  const held = new Set((await identity.assignments({ user_id, project_id })).map(({ role_id }) => role_id));
  const shown = (await identity.list("role", {})).filter(({ id }) => held.has(id)).map((role) => roleView(c, role));
  return c.json(page(c, "roles", shown));
}

async function check(c: Context<AppEnv>): Promise<Response> {
  await permitted(c, "check_grant");
  const one = assignmentOf(c);
  if ((await c.env.IDENTITY.getByName("default").assignments(one)).length === 0) throw noGrant(one);
  return c.body(null, 204);
}

async function add(c: Context<AppEnv>): Promise<Response> {
  await permitted(c, "create_grant");
  const one = assignmentOf(c);
  const added = await c.env.IDENTITY.getByName("default").assign(one);
  if (!added.ok) throw missing(added.error, one[`${added.error}_id`]);
  return c.body(null, 204);
}

async function remove(c: Context<AppEnv>): Promise<Response> {
  await permitted(c, "revoke_grant");
  const one = assignmentOf(c);
  const removed = await c.env.IDENTITY.getByName("default").unassign(one);
  if (!removed.ok && removed.error === "protected") throw forbidden("The operator stays an admin of this project.");
  if (!removed.ok) throw noGrant(one);
  revocationsOf(c.env).expire();
  return c.body(null, 204);
}

async function list(c: Context<AppEnv>): Promise<Response> {
  await permitted(c, "list_role_assignments");
  const asked = query(c, filters);
  // Nothing here is assigned to groups, on domains or on the system.
  const other = asked["group.id"] ?? asked["scope.domain.id"] ?? asked["scope.system"];
  const filter: Partial<Assignment> = {
    ...(asked["user.id"] === undefined ? {} : { user_id: asked["user.id"] }),
    ...(asked["role.id"] === undefined ? {} : { role_id: asked["role.id"] }),
    ...(asked["scope.project.id"] === undefined ? {} : { project_id: asked["scope.project.id"] }),
  };
  const found = other === undefined ? await c.env.IDENTITY.getByName("default").assignments(filter) : [];
  const shown = found.map((one) => view(c, one, asked.include_names === true));
  return c.json(page(c, "role_assignments", shown));
}

async function domains(c: Context<AppEnv>): Promise<Response> {
  await permitted(c, "list_domains");
  const { name } = query(c, z.object({ name: last.optional() }));
  const here = name === undefined || name === DEFAULT_DOMAIN.name;
  return c.json(page(c, "domains", here ? [domainView(c)] : []));
}

async function domain(c: Context<AppEnv>): Promise<Response> {
  await callerOf(c);
  const id = c.req.param("id") ?? "";
  if (id !== DEFAULT_DOMAIN.id) throw notFound(`Could not find domain: ${id.slice(0, 255)}.`);
  return c.json({ domain: domainView(c) });
}

function assignmentOf(c: Context<AppEnv>): Assignment {
  const { user = "", project = "", role = "" } = c.req.param();
  return { user_id: user, project_id: project, role_id: role };
}

function noGrant({ user_id, project_id, role_id }: Assignment) {
  return notFound(`Could not find role assignment with role: ${role_id}, user: ${user_id}, project: ${project_id}.`);
}

function view(c: Context<AppEnv>, one: AssignmentNames, named: boolean): object {
  const domain = DEFAULT_DOMAIN;
  const { user_id, project_id, role_id } = one;
  const self = `${originOf(c)}/identity/v3/projects/${project_id}/users/${user_id}/roles/${role_id}`;
  return {
    role: named ? { id: role_id, name: one.role } : { id: role_id },
    user: named ? { id: user_id, name: one.user, domain } : { id: user_id },
    scope: { project: named ? { id: project_id, name: one.project, domain } : { id: project_id } },
    links: { assignment: self },
  };
}
