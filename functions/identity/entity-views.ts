/** Users, projects, roles and the one domain as Keystone shows them. */
import type { Context } from "hono";
import { originOf } from "../api/resource.ts";
import type { Entity } from "./directory.ts";
import { DEFAULT_DOMAIN } from "./tables.ts";

export function userView(c: Context, user: Entity): object {
  return {
    ...common(c, "users", user),
    domain_id: DEFAULT_DOMAIN.id,
    enabled: user.enabled,
    email: user.email,
    ...(user.default_project_id === null ? {} : { default_project_id: user.default_project_id }),
    password_expires_at: null,
  };
}

export function projectView(c: Context, project: Entity): object {
  return {
    ...common(c, "projects", project),
    domain_id: DEFAULT_DOMAIN.id,
    parent_id: DEFAULT_DOMAIN.id,
    is_domain: false,
    enabled: project.enabled,
    tags: [],
  };
}

export function roleView(c: Context, role: Entity): object {
  return { ...common(c, "roles", role), domain_id: null };
}

export function domainView(c: Context): object {
  const description = "The only domain of this deployment.";
  return { ...common(c, "domains", { ...DEFAULT_DOMAIN, description }), enabled: true, tags: [] };
}

/** A collection with its links. There is one page: nothing here is counted in thousands. */
export function page(c: Context, key: string, items: object[]): object {
  const { pathname, search } = new URL(c.req.url);
  return { [key]: items, links: { self: `${originOf(c)}${pathname}${search}`, previous: null, next: null } };
}

function common(c: Context, plural: string, { id, name, description }: Pick<Entity, "id" | "name" | "description">) {
  return { id, name, description, options: {}, links: { self: `${originOf(c)}/identity/v3/${plural}/${id}` } };
}
