/** The version documents (nova/api/openstack/compute/versions.py); no token is asked for. */
import type { Context, Hono } from "hono";
import type { AppEnv } from "./app-env.ts";
import { MAX_MINOR, MIN_MINOR, versionHeaders } from "./microversion.ts";
import { originOf } from "./resource.ts";

/** When Nova's v2.1 was last declared changed; clients only carry it along. */
const UPDATED = "2013-07-23T11:33:21Z";

export function versions(app: Hono<AppEnv>): void {
  app.get("/", (c) => c.json({ versions: [entry(c)] }));
  app.get("/v2.1", (c) => {
    const type = "application/vnd.openstack.compute+json;version=2.1";
    const version = { ...entry(c), "media-types": [{ base: "application/json", type }] };
    return c.json({ version }, 200, versionHeaders(MIN_MINOR));
  });
}

function entry(c: Context<AppEnv>): object {
  return {
    id: "v2.1",
    status: "CURRENT",
    version: `2.${MAX_MINOR}`,
    min_version: `2.${MIN_MINOR}`,
    updated: UPDATED,
    links: [{ rel: "self", href: `${originOf(c)}/compute/v2.1/` }],
  };
}
