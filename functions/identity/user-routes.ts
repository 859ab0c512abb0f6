/** What a user may ask about himself: his projects, and another password. */
import type { Context, Hono } from "hono";
import { z } from "zod";
import type { AppEnv } from "../api/app-env.ts";
import { Fault } from "../api/fault.ts";
import { resource } from "../api/resource.ts";
import { jsonBody } from "../api/validate.ts";
import { addressOf } from "./address.ts";
import { missing, refused } from "./entity-routes.ts";
import { page, projectView } from "./entity-views.ts";
import { limitAddress, matchPassword } from "./match-password.ts";
import { hashPassword } from "./password.ts";
import { revocationsOf } from "./revocation-cache.ts";
import { permitted, WRONG } from "./valid-token.ts";

const change = z.object({
  user: z.object({ original_password: z.string().max(4096), password: z.string().min(1).max(4096) }),
});

export function userRoutes(app: Hono<AppEnv>): void {
  resource(app, "/v3/users/:id/projects", { GET: projects });
  resource(app, "/v3/users/:id/password", { POST: changePassword });
}

async function projects(c: Context<AppEnv>): Promise<Response> {
  const id = c.req.param("id") ?? "";
  await permitted(c, "list_user_projects", (said) => said.user.id === id);
  const identity = c.env.IDENTITY.getByName("default");
  if ((await identity.show("user", id)) === null) throw missing("user", id);
  const shown = (await identity.projectsOf(id)).map((project) => projectView(c, project));
  return c.json(page(c, "projects", shown));
}

/** POST /v3/users/{u}/password: who knows the old password may, with no token. It voids the user's tokens. */
async function changePassword(c: Context<AppEnv>): Promise<Response> {
  await limitAddress(c);
  const { user } = await jsonBody(c, change);
  const id = c.req.param("id") ?? "";
  const proof = await matchPassword(c, { id }, user.original_password);
  const identity = c.env.IDENTITY.getByName("default");
  const password = await hashPassword(user.password);
  if (!(await identity.loggedIn(proof, null, addressOf(c))).ok) throw new Fault(401, WRONG);
  const changed = await identity.update("user", id, { password });
  if (!changed.ok) throw refused(changed.error, "user", id);
  revocationsOf(c.env).expire();
  return c.body(null, 204);
}
