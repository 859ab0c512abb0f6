/** Projects that a path or a query names, besides the caller's own. */
import type { Context } from "hono";
import type { AppEnv } from "./app-env.ts";
import { badRequest } from "./fault.ts";

/** 400 when there is no such project (nova: api/openstack/identity.py verify_project_id). */
export async function checkProject(c: Context<AppEnv>, id: string): Promise<void> {
  if (id === c.var.actor.project_id) return;
  const known = await c.env.IDENTITY.getByName("default").projects();
  if (known.some((project) => project.id === id)) return;
  throw badRequest(`Project ID ${id.slice(0, 64)} is not a valid project.`);
}
