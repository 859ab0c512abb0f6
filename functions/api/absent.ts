/**
 * What Nova has, or had, and this deployment has not: told as Nova tells it, so that clients go on
 * (nova-facts §1.3: no network and no volume service; APIs that Nova removed).
 */
import type { Context, Hono } from "hono";
import type { AppEnv } from "./app-env.ts";
import { Fault, instanceNotFound, notFound } from "./fault.ts";
import { resource } from "./resource.ts";
import { serverOf } from "./servers.ts";

/** Lists below a server that are always empty here, by their key in the answer. */
const EMPTY_OF_SERVER: Record<string, string> = {
  "os-security-groups": "security_groups",
  "os-interface": "interfaceAttachments",
  "os-volume_attachments": "volumeAttachments",
};

/** Proxies to other services; Nova dropped them at 2.36. */
const LAST_PROXY_MINOR = 35;
const EMPTY_PROXIES: Record<string, string> = {
  "/os-networks": "networks",
  "/os-tenant-networks": "networks",
  "/os-floating-ips": "floating_ips",
  "/os-floating-ip-pools": "floating_ip_pools",
  "/os-security-groups": "security_groups",
  "/os-volumes": "volumes",
  "/os-volumes/detail": "volumes",
  "/os-snapshots": "snapshots",
  "/os-snapshots/detail": "snapshots",
  "/os-baremetal-nodes": "nodes",
};

/** APIs that Nova itself answers 410 for, at any version. */
const REMOVED = [
  "/os-agents",
  "/os-cells",
  "/os-certificates",
  "/os-cloudpipe",
  "/os-fixed-ips",
  "/os-floating-ip-dns",
  "/os-floating-ips-bulk",
  "/os-fping",
  "/os-networks/add",
  "/os-security-group-default-rules",
  "/servers/:id/os-virtual-interfaces",
  "/servers/:id/consoles",
];

export function absent(app: Hono<AppEnv>): void {
  for (const [path, key] of Object.entries(EMPTY_OF_SERVER)) {
    resource(app, `/servers/:id/${path}`, { GET: (c) => ofServer(c, { [key]: [] }) });
  }
  resource(app, "/servers/:id/ips", { GET: (c) => ofServer(c, { addresses: {} }) });
  resource(app, "/servers/:id/ips/:label", {
    GET: async (c) => {
      await ofServer(c, {});
      throw notFound("Network not found");
    },
  });
  for (const [path, key] of Object.entries(EMPTY_PROXIES)) {
    resource(app, path, {
      GET: (c) => {
        if (c.var.minor > LAST_PROXY_MINOR) throw notFound("The resource could not be found.");
        return c.json({ [key]: [] });
      },
    });
  }
  for (const path of REMOVED) {
    for (const each of [path, `${path}/*`]) {
      app.all(each, () => {
        throw new Fault(410, "This resource is no longer available. No forwarding address is given.");
      });
    }
  }
}

/** `answer`, if the server is there for the caller. */
async function ofServer(c: Context<AppEnv>, answer: object): Promise<Response> {
  const { id, stub } = serverOf(c);
  if ((await stub.show(c.var.actor)) === null) throw instanceNotFound(id);
  return c.json(answer);
}
