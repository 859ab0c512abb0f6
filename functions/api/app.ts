/** The Worker's HTTP: what is mounted where, and how every request begins and ends. */
import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { HTTPException } from "hono/http-exception";
import { requestId } from "hono/request-id";
import { agentRoutes } from "../compute/routes.ts";
import { sessionRoutes } from "../console/session-routes.ts";
import { keystoneBody } from "../identity/fault.ts";
import { identityRoutes } from "../identity/routes.ts";
import { imageRoutes } from "../image/routes.ts";
import { causeOf, log } from "../log.ts";
import { absent } from "./absent.ts";
import { aggregateImages } from "./aggregate-images.ts";
import { aggregates } from "./aggregates.ts";
import type { AppEnv } from "./app-env.ts";
import { availabilityZones } from "./availability-zones.ts";
import { consoleAuthTokens } from "./console-auth-tokens.ts";
import { consoleLinks } from "./console-links.ts";
import { consoleSessions } from "./console-sessions.ts";
import { consoles } from "./consoles.ts";
import { extensions } from "./extensions.ts";
import { serverExternalEvents } from "./external-events.ts";
import { Fault, notFound, unexpected } from "./fault.ts";
import { flavorDetails } from "./flavor-details.ts";
import { flavors } from "./flavors.ts";
import { hosts } from "./hosts.ts";
import { hypervisors } from "./hypervisors.ts";
import { imageMetadataProxy } from "./image-metadata-proxy.ts";
import { imageProxy } from "./image-proxy.ts";
import { instanceActions } from "./instance-actions.ts";
import { keypairs } from "./keypairs.ts";
import { legacy } from "./legacy.ts";
import { limits } from "./limits.ts";
import { microversion, versionHeaders } from "./microversion.ts";
import { migrations } from "./migrations.ts";
import { served } from "./openapi/served.ts";
import { mount } from "./operation.ts";

import { admitted, authenticated } from "./policy.ts";
import { routedPath } from "./project-path.ts";

import { quotaSets } from "./quota-sets.ts";
import { originOf } from "./resource.ts";
import { RouteTable } from "./route-table.ts";
import { scheduling } from "./scheduling.ts";
import { serverActions } from "./server-actions.ts";
import { serverDetails } from "./server-details.ts";
import { serverGroups } from "./server-groups.ts";
import { serverGuest } from "./server-guest.ts";
import { serverIps } from "./server-ips.ts";
import { serverMigrations } from "./server-migrations.ts";
import { servers } from "./servers.ts";
import { services } from "./services.ts";
import { tenantUsage } from "./tenant-usage.ts";
import { usageAuditLog } from "./usage-audit-log.ts";
import { MAX_BODY_BYTES } from "./validate.ts";
import { choices, versions } from "./versions.ts";
import { volumesBoot } from "./volumes-boot.ts";

/** What is under /compute/v2.1, as data. */
export const RESOURCES = [
  absent,
  aggregateImages,
  aggregates,
  availabilityZones,
  consoleAuthTokens,
  consoleLinks,
  consoleSessions,
  consoles,
  extensions,
  flavorDetails,
  flavors,
  hosts,
  hypervisors,
  imageMetadataProxy,
  imageProxy,
  instanceActions,
  keypairs,
  limits,
  migrations,
  quotaSets,
  scheduling,
  serverActions,
  serverDetails,
  serverIps,
  serverExternalEvents,
  serverGroups,
  serverGuest,
  serverMigrations,
  servers,
  services,
  tenantUsage,
  usageAuditLog,
  volumesBoot,
] as const;

export function createApp(): Hono<AppEnv> {
  // A path with and without its last slash is one: clients of every age are among the callers.
  const app = new Hono<AppEnv>({ getPath: routedPath, router: new RouteTable() });
  app.use(requestId({ headerName: "", generator: () => `req-${crypto.randomUUID()}` }));
  app.use(async (c, next) => {
    await next();
    if (c.res.webSocket) return;
    c.header("x-openstack-request-id", c.var.requestId);
    c.header("x-compute-request-id", c.var.requestId);
    if (c.var.minor === undefined || c.var.legacy) return;
    for (const [name, value] of Object.entries(versionHeaders(c.var.minor))) c.header(name, value);
  });
  const limited = bodyLimit({
    maxSize: MAX_BODY_BYTES,
    onError: () => {
      throw new Fault(413, "Request is too large.");
    },
  });
  for (const prefix of ["/identity/*", "/compute/*", "/console/*"]) app.use(prefix, limited);
  // What agents PUT are parts of images, whose length is looked at where they are taken.
  app.use("/agent/*", (c, next) => (c.req.method === "PUT" ? next() : limited(c, next)));
  app.route("/identity", identityRoutes());
  app.route("/image", imageRoutes());
  app.route("/agent/v1", agentRoutes());
  app.route("/console/v1", sessionRoutes());
  served(app);
  app.route("/compute", computeRoutes());
  app.get("/", (c) => c.json(root(originOf(c))));
  app.notFound((c) => fault(c, notFound("The resource could not be found.")));
  app.onError((error, c) => {
    if (error instanceof Fault) return fault(c, error);
    if (error instanceof HTTPException && error.status < 500) return fault(c, new Fault(400, "Malformed request"));
    log("request.failed", { request: c.var.requestId, method: c.req.method, cause: causeOf(error) });
    return fault(c, unexpected(c.var.requestId));
  });
  return app;
}

function computeRoutes(): Hono<AppEnv> {
  const compute = new Hono<AppEnv>();
  versions(compute);
  for (const [path, version] of [
    ["/v2.1", microversion],
    ["/v2", legacy],
  ] as const) {
    const resources = new Hono<AppEnv>();
    // What follows the negotiation is answered in its terms, refusals too.
    resources.use(authenticated, version, admitted);
    for (const paths of RESOURCES) mount(resources, paths);
    compute.route(path, resources);
  }
  choices(compute);
  return compute;
}

function fault(c: Parameters<Parameters<Hono<AppEnv>["notFound"]>[0]>[0], error: Fault): Response {
  const body = /^\/identity(\/|$)/.test(c.req.path) ? keystoneBody(error) : error.body();
  return c.json(body, error.status, error.headers);
}

function root(origin: string): object {
  return {
    name: "edgenova",
    identity: `${origin}/identity/v3`,
    compute: `${origin}/compute/v2.1`,
    image: `${origin}/image`,
  };
}
