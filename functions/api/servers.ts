/** /servers and /servers/{id} (nova/api/openstack/compute/servers.py). */
import type { Context } from "hono";
import type { DetailsChange, TooManyItems } from "../conductor/details.ts";
import type { ServerRecord } from "../conductor/record.ts";
import { config } from "../config.ts";
import type { GroupRefusal } from "../project/project.ts";
import { type QuotaExceeded, quotaMessage } from "../project/quota.ts";
import { actionFault } from "./action-fault.ts";
import type { AppEnv } from "./app-env.ts";
import { badRequest, Fault, forbidden, instanceNotFound } from "./fault.ts";
import { operation, type Paths } from "./operation.ts";
import { links } from "./resource.ts";
import { type CreateBody, createServer, type UpdateBody, updateServer } from "./schema/server.ts";
import { listServers as listQuery } from "./schema/server-list.ts";
import { detailsFault } from "./server-details.ts";
import { listServers } from "./server-list.ts";
import { specsOf } from "./server-spec.ts";
import { hostStatus, shownServer, showsUserData } from "./server-view.ts";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const RULE = "os_compute_api:servers";

export const servers: Paths = {
  "/servers": {
    GET: operation({
      summary: "List servers by id and name",
      rule: `${RULE}:index`,
      role: "reader",
      query: listQuery,
      status: 200,
      answers: "servers",
      run: (c, { query }) => listServers(c, "index", query),
    }),
    POST: operation({
      summary: "Create a server, or several",
      rule: `${RULE}:create`,
      role: "member",
      body: createServer,
      status: 202,
      run: (c, { body }) => create(c, body),
    }),
  },
  "/servers/detail": {
    GET: operation({
      summary: "List servers in full",
      rule: `${RULE}:detail`,
      role: "reader",
      query: listQuery,
      status: 200,
      answers: "servers",
      run: (c, { query }) => listServers(c, "detail", query),
    }),
  },
  "/servers/:id": {
    GET: operation({
      summary: "Show a server",
      rule: `${RULE}:show`,
      role: "reader",
      status: 200,
      answers: "server",
      run: show,
    }),
    PUT: operation({
      summary: "Change what a server is called and described as",
      rule: `${RULE}:update`,
      role: "member",
      body: updateServer,
      status: 200,
      answers: "server",
      run: (c, { body }) => update(c, body),
    }),
    DELETE: operation({
      summary: "Delete a server",
      rule: `${RULE}:delete`,
      role: "member",
      status: 204,
      run: remove,
    }),
  },
  "/servers/:id/topology": {
    GET: operation({
      summary: "Show the NUMA nodes of a server: hosts here have none to give",
      rule: "compute:server:topology:index",
      role: "reader",
      on: "server.topology",
      status: 200,
      run: async (c) => {
        await serverRecord(c);
        return c.json({ nodes: [], pagesize_kb: null });
      },
    }),
  },
};

/** The `Server` object that the URL names. A name that is no uuid is no server: clients look names up this way. */
export function serverOf(c: Context<AppEnv>) {
  const id = c.req.param("id") ?? "";
  if (!UUID.test(id)) throw instanceNotFound(id);
  return { id, stub: c.env.SERVER.getByName(id) };
}

/** The record of the server that the URL names; 404 when the caller has none. */
export async function serverRecord(c: Context<AppEnv>): Promise<ServerRecord> {
  const { id, stub } = serverOf(c);
  const record = await stub.show(c.var.actor);
  if (record === null) throw instanceNotFound(id);
  return record;
}

async function show(c: Context<AppEnv>): Promise<Response> {
  const { id, stub } = serverOf(c);
  const [seen, status] = await Promise.all([stub.showWith(c.var.actor, showsUserData(c)), hostStatus(c)]);
  if (seen === null) throw instanceNotFound(id);
  const { record, userData } = seen;
  return c.json({ server: await shownServer(c, record, "show", { hostStatus: status, userData }) });
}

async function update(c: Context<AppEnv>, { server }: UpdateBody): Promise<Response> {
  const { name, description, hostname, "OS-DCF:diskConfig": disk, accessIPv4, accessIPv6 } = server;
  const { id, stub } = serverOf(c);
  const change: Extract<DetailsChange, { of: "server" }>["change"] = {
    ...(name === undefined ? {} : { display_name: name }),
    ...(description === undefined ? {} : { description }),
    ...(hostname === undefined ? {} : { hostname }),
    ...(disk === undefined ? {} : { disk_config: disk }),
    ...(accessIPv4 === undefined ? {} : { access_ip_v4: accessIPv4 }),
    ...(accessIPv6 === undefined ? {} : { access_ip_v6: accessIPv6 }),
  };
  const changed = await stub.change(c.var.actor, { of: "server", change });
  if (!changed.ok) throw detailsFault(id, changed.error);
  return c.json({ server: await shownServer(c, changed.value.record, "update") });
}

async function remove(c: Context<AppEnv>): Promise<Response> {
  const { id, stub } = serverOf(c);
  const begun = await stub.remove(c.var.actor);
  if (!begun.ok) throw actionFault(id, begun.error);
  return c.body(null, 204);
}

async function create(c: Context<AppEnv>, body: CreateBody): Promise<Response> {
  const { specs, given, secrets } = await specsOf(c, body);
  const project = c.env.PROJECT.getByName(c.var.actor.project_id);
  const reserved = await project.reserve(specs, body.server.min_count ?? 1);
  if (!reserved.ok) throw reserveFault(reserved.error);
  const { count, until } = reserved.value;
  const made = await Promise.all(
    specs.slice(0, count).map((spec) => {
      // Without a drive there is no way that they could go.
      const told = spec.config_drive ? { given, secrets } : { given };
      return c.env.SERVER.getByName(spec.uuid).create(c.var.actor, { ...spec, ...told }, until);
    }),
  );
  if (made.some((one) => !one.ok)) throw new Fault(503, "The request took too long and was given up. Try again.");
  const first = specs[0];
  if (first === undefined) throw badRequest("min_count must be at least 1");
  if (body.server.return_reservation_id) return c.json({ reservation_id: first.reservation_id }, 202);
  const href = links(c, "servers", first.uuid);
  const server = {
    id: first.uuid,
    links: href,
    "OS-DCF:diskConfig": first.disk_config,
    security_groups: [{ name: "default" }],
    ...(config(c.env).ENABLE_INSTANCE_PASSWORD ? { adminPass: secrets.admin_pass } : {}),
  };
  return c.json({ server }, 202, { Location: href[0]?.href ?? "" });
}

function reserveFault(error: QuotaExceeded | TooManyItems | GroupRefusal): Fault {
  if (error.kind === "over_quota" || error.kind === "too_many_items") return forbidden(quotaMessage(error));
  if (error.kind === "group_full") return forbidden("Quota exceeded, too many servers in group");
  return badRequest(`Instance group ${error.id} could not be found.`);
}
