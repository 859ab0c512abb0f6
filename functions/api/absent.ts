/**
 * What Nova has, or had, and this deployment has not: told as Nova tells it, so that clients go on
 * (nova-facts §1.3: no network and no volume service; APIs that Nova removed).
 */
import type { Context } from "hono";
import { z } from "zod";
import type { AppEnv } from "./app-env.ts";
import { Fault, instanceNotFound, notFound } from "./fault.ts";
import { type Operation, operation, type Paths } from "./operation.ts";
import { serverOf } from "./servers.ts";

/** What is below a server and always empty here. */
const EMPTY_OF_SERVER: Record<string, { answer: object; rule: string }> = {
  "os-security-groups": { answer: { security_groups: [] }, rule: "os-security-groups:list" },
  "os-interface": { answer: { interfaceAttachments: [] }, rule: "os-attach-interfaces:list" },
  "os-volume_attachments": { answer: { volumeAttachments: [] }, rule: "os-volumes-attachments:index" },
  ips: { answer: { addresses: {} }, rule: "ips:index" },
};

/** Lists that Nova took from other services, by their key in the answer. */
const EMPTY_PROXIES: Record<string, { key: string; rule: string }> = {
  "/os-networks": { key: "networks", rule: "os-networks:list" },
  "/os-tenant-networks": { key: "networks", rule: "os-tenant-networks:list" },
  "/os-floating-ips": { key: "floating_ips", rule: "os-floating-ips:list" },
  "/os-floating-ip-pools": { key: "floating_ip_pools", rule: "os-floating-ip-pools" },
  "/os-security-groups": { key: "security_groups", rule: "os-security-groups:get" },
  "/os-volumes": { key: "volumes", rule: "os-volumes:list" },
  "/os-volumes/detail": { key: "volumes", rule: "os-volumes:detail" },
  "/os-snapshots": { key: "snapshots", rule: "os-volumes:snapshots:list" },
  "/os-snapshots/detail": { key: "snapshots", rule: "os-volumes:snapshots:detail" },
  "/os-baremetal-nodes": { key: "nodes", rule: "os-baremetal-nodes:list" },
};

/** nova/api/openstack/compute/schemas/assisted_volume_snapshots.py, without what nobody reads. */
const assistedSnapshot = z.object({ snapshot: z.object({ volume_id: z.string().min(1).max(255) }) });

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

const SNAPSHOTS = "os_compute_api:os-assisted-volume-snapshots";

export const absent: Paths = {
  "/os-assisted-volume-snapshots": {
    POST: operation({
      summary: "Snapshot a volume that a server has; none has any",
      rule: `${SNAPSHOTS}:create`,
      role: "service",
      body: assistedSnapshot,
      status: 404,
      run: (_, { body }) => {
        throw notFound(`No volume Block Device Mapping with id ${body.snapshot.volume_id}.`);
      },
    }),
  },
  "/os-assisted-volume-snapshots/:id": {
    DELETE: operation({
      summary: "Delete a snapshot of a volume that a server has; none has any",
      rule: `${SNAPSHOTS}:delete`,
      role: "service",
      status: 404,
      run: () => {
        throw notFound("The snapshot could not be found.");
      },
    }),
  },
  ...Object.fromEntries(Object.entries(EMPTY_OF_SERVER).map(([path, row]) => [`/servers/:id/${path}`, emptyOf(row)])),
  "/servers/:id/ips/:label": {
    GET: operation({
      summary: "Show a server's addresses in a network; there is none",
      rule: "os_compute_api:ips:show",
      role: "reader",
      status: 404,
      run: async (c) => {
        await ofServer(c, {});
        throw notFound("Network not found");
      },
    }),
  },
  ...Object.fromEntries(Object.entries(EMPTY_PROXIES).map(([path, row]) => [path, emptyProxy(row)])),
  ...Object.fromEntries(REMOVED.flatMap((path) => [path, `${path}/*`]).map((path) => [path, gone()])),
};

function emptyOf({ answer, rule }: { answer: object; rule: string }): { GET: Operation } {
  const [answers = ""] = Object.keys(answer);
  return {
    GET: operation({
      summary: "List what a server has of another service's; always nothing",
      rule: `os_compute_api:${rule}`,
      role: "reader",
      status: 200,
      answers,
      run: (c) => ofServer(c, answer),
    }),
  };
}

function emptyProxy({ key, rule }: { key: string; rule: string }): { GET: Operation } {
  return {
    GET: operation({
      summary: "List what another service has; always nothing",
      rule: `os_compute_api:${rule}`,
      role: "reader",
      on: "proxy.lists",
      status: 200,
      answers: key,
      run: (c) => c.json({ [key]: [] }),
    }),
  };
}

/** Every method is as gone as the others. */
function gone(): Paths[string] {
  const removed = operation({
    summary: "Removed from Nova",
    rule: "os_compute_api:removed",
    role: "reader",
    status: 410,
    run: () => {
      throw new Fault(410, "This resource is no longer available. No forwarding address is given.");
    },
  });
  return { GET: removed, POST: removed, PUT: removed, PATCH: removed, DELETE: removed };
}

/** `answer`, if the server is there for the caller. */
async function ofServer(c: Context<AppEnv>, answer: object): Promise<Response> {
  const { id, stub } = serverOf(c);
  if ((await stub.show(c.var.actor)) === null) throw instanceNotFound(id);
  return c.json(answer);
}
