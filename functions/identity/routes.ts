/** /identity/v3: what clients ask Keystone for. */
import { type Context, Hono } from "hono";
import type { AppEnv } from "../api/app-env.ts";
import { Fault } from "../api/fault.ts";
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
  app.onError((error, c) => {
    if (!(error instanceof Fault)) throw error;
    return c.json(keystoneBody(error), error.status, error.headers);
  });
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

/** Keystone's envelope; its clients read no other. */
function keystoneBody({ status, message }: Fault): object {
  return { error: { code: status, message, title: TITLES[status] ?? "Error" } };
}

const TITLES: Record<number, string> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  409: "Conflict",
  413: "Request Entity Too Large",
  415: "Unsupported Media Type",
  429: "Too Many Requests",
  503: "Service Unavailable",
};
