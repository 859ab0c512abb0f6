/** The version documents (nova/api/openstack/compute/versions.py); no token is asked for. */
import type { Context, Hono } from "hono";
import type { AppEnv } from "./app-env.ts";
import { notFound } from "./fault.ts";
import { MAX_MINOR, MIN_MINOR, versionHeaders } from "./microversion.ts";
import { originOf } from "./resource.ts";

/** `updated`: when Nova last declared it changed; clients only carry it along. An empty version is "no microversions". */
const VERSIONS = [
  {
    id: "v2.0",
    path: "v2",
    status: "DEPRECATED",
    version: "",
    min_version: "",
    updated: "2011-01-21T11:33:21Z",
    type: "application/vnd.openstack.compute+json;version=2",
  },
  {
    id: "v2.1",
    path: "v2.1",
    status: "CURRENT",
    version: `2.${MAX_MINOR}`,
    min_version: `2.${MIN_MINOR}`,
    updated: "2013-07-23T11:33:21Z",
    type: "application/vnd.openstack.compute+json;version=2.1",
  },
] as const;
type Version = (typeof VERSIONS)[number];

export function versions(app: Hono<AppEnv>): void {
  app.get("/", (c) => c.json({ versions: VERSIONS.map((one) => entry(c, one)) }));
  for (const one of VERSIONS) {
    app.get(`/${one.path}`, (c) => {
      const version = { ...entry(c, one), "media-types": mediaTypes(one) };
      return c.json({ version }, 200, one.version === "" ? {} : versionHeaders(MIN_MINOR));
    });
  }
}

/** Any other path that names no version: the same path in each (nova: versions.py multi). */
export function choices(app: Hono<AppEnv>): void {
  app.all("/*", (c) => {
    const { pathname, search } = new URL(c.req.url);
    const rest = pathname.replace(/^\/compute\/?/, "");
    if (VERSIONS.some(({ path }) => rest.startsWith(`${path}/`))) throw notFound("The resource could not be found.");
    const shown = VERSIONS.map((one) => ({
      id: one.id,
      status: one.status,
      links: [{ rel: "self", href: `${originOf(c)}/compute/${one.path}/${rest}${search}` }],
      "media-types": mediaTypes(one),
    }));
    return c.json({ choices: shown }, 300);
  });
}

const mediaTypes = ({ type }: Version) => [{ base: "application/json", type }];

function entry(c: Context<AppEnv>, { id, path, status, version, min_version, updated }: Version): object {
  const links = [{ rel: "self", href: `${originOf(c)}/compute/${path}/` }];
  return { id, status, version, min_version, updated, links };
}
