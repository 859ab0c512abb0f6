/**
 * What Nova has, or had, and this deployment has not: told as Nova tells it, so that clients go on
 * (nova-facts §1.3: no network and no volume service; APIs that Nova removed).
 */
import type { Context } from "hono";
import { z } from "zod";
import type { AppEnv } from "./app-env.ts";
import { Fault, instanceNotFound, notFound } from "./fault.ts";
import { type Operation, operation, type Paths } from "./operation.ts";
import type { Role } from "./policy.ts";
import { serverOf } from "./servers.ts";

/** What is below a server and always empty here. */
const EMPTY_OF_SERVER: Record<string, { answer: object; rule: string }> = {
  "os-security-groups": { answer: { security_groups: [] }, rule: "os-security-groups:list" },
};

/** What could be attached to a server, were there the service that has it. */
const ATTACHMENTS: Record<
  string,
  { key: string; body: string; rule: string; list: string; service: string; of: string }
> = {
  "os-interface": {
    key: "interfaceAttachments",
    body: "interfaceAttachment",
    rule: "os-attach-interfaces",
    list: "list",
    service: "network",
    of: "Interface attachment",
  },
  "os-volume_attachments": {
    key: "volumeAttachments",
    body: "volumeAttachment",
    rule: "os-volumes-attachments",
    list: "index",
    service: "volume",
    of: "Volume attachment",
  },
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
  ...Object.fromEntries(Object.entries(ATTACHMENTS).flatMap(([path, row]) => attachments(`/servers/:id/${path}`, row))),
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

/** A list that is empty, nothing in it to be found, and nothing to attach. */
function attachments(
  path: string,
  { key, body, rule, list, service, of }: (typeof ATTACHMENTS)[string],
): [string, Paths[string]][] {
  const missing = (verb: string, role: Role) =>
    operation({
      summary: `${of}s of a server: none is there`,
      rule: `os_compute_api:${rule}:${verb}`,
      role,
      status: 404,
      async run(c) {
        await ofServer(c, {});
        throw notFound(`${of} could not be found.`);
      },
    });
  const attach = operation({
    summary: `Refused: there is no ${service} service`,
    rule: `os_compute_api:${rule}:create`,
    role: "member",
    body: z.strictObject({ [body]: z.record(z.string(), z.unknown()) }),
    status: 501,
    async run(c) {
      await ofServer(c, {});
      throw new Fault(501, `There is no ${service} service here.`);
    },
  });
  return [
    [path, { ...emptyOf({ answer: { [key]: [] }, rule: `${rule}:${list}` }), POST: attach }],
    [`${path}/:attachment`, { GET: missing("show", "reader"), DELETE: missing("delete", "member") }],
  ];
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
