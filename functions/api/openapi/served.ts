/** GET /compute/openapi.json and GET /docs: files of the build; no token is asked for. */
import type { Context, Hono } from "hono";
import type { AppEnv } from "../app-env.ts";
import { resource } from "../resource.ts";

/** Paths in the build. */
export const OPENAPI = "compute/openapi.json";
export const DOCS_PAGE = "docs.html";

export function served(app: Hono<AppEnv>): void {
  resource(app, `/${OPENAPI}`, { GET: file(OPENAPI) });
  resource(app, "/docs", { GET: file(DOCS_PAGE) });
}

/** The request's own headers go along: `If-None-Match` is answered with 304. */
function file(path: string) {
  return (c: Context<AppEnv>) =>
    c.env.ASSETS.fetch(new Request(new URL(`/${path}`, c.req.url), { headers: c.req.raw.headers }));
}
