/** /identity/v3: what clients ask Keystone for. */
import { type Context, Hono } from "hono";
import type { AppEnv } from "../api/app-env.ts";
import { originOf } from "../api/resource.ts";
import { appCredentialRoutes } from "./app-credential-routes.ts";
import { assignmentRoutes } from "./assignment-routes.ts";
import { entityRoutes } from "./entity-routes.ts";
import { federationRoutes } from "./federation-routes.ts";
import { authRoutes } from "./login.ts";
import { userRoutes } from "./user-routes.ts";

export function identityRoutes(): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  app.get("/", (c) => c.json({ versions: { values: [version(c)] } }, 300));
  app.get("/v3", (c) => c.json({ version: version(c) }));
  for (const mount of [authRoutes, entityRoutes, userRoutes, assignmentRoutes, appCredentialRoutes, federationRoutes])
    mount(app);
  return app;
}

function version(c: Context): object {
  return {
    id: "v3.14",
    status: "stable",
    updated: "2020-04-07T00:00:00Z",
    links: [{ rel: "self", href: `${originOf(c)}/identity/v3/` }],
    "media-types": [{ base: "application/json", type: "application/vnd.openstack.identity-v3+json" }],
  };
}
