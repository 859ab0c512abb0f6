/** /servers and /servers/{id} (nova/api/openstack/compute/servers.py). */
import type { Context, Hono } from "hono";
import type { TooManyItems } from "../conductor/details.ts";
import type { ServerRecord } from "../conductor/record.ts";
import type { ActionError } from "../conductor/server.ts";
import { config } from "../config.ts";
import { allowed, wrongValue } from "../project/filters.ts";
import { type BadQuery, type ListQuery, type Page, pageOf, SORT_KEYS, type SortKey } from "../project/listing.ts";
import type { GroupRefusal } from "../project/project.ts";
import { type QuotaExceeded, quotaMessage } from "../project/quota.ts";
import type { Result } from "../result.ts";
import type { KnownHost } from "../scheduler/host-state.ts";
import type { AppEnv } from "./app-env.ts";
import { badRequest, conflict, Fault, forbidden, instanceNotFound } from "./fault.ts";
import { requireAdmin, requireMember } from "./policy.ts";
import { links, nextLink, resource } from "./resource.ts";
import { type ListServers, listServers } from "./schema/list.ts";
import { createServer, updateServer } from "./schema/server.ts";
import { detailsFault } from "./server-details.ts";
import { specsOf } from "./server-spec.ts";
import { serverBrief, serverCore, serverView } from "./server-view.ts";
import { jsonBody, query } from "./validate.ts";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
/** From here on admins see user data. */
const USER_DATA_MINOR = 3;
const STATUSES: readonly string[] = ["BUILD", "ACTIVE", "SHUTOFF", "REBOOT", "HARD_REBOOT", "ERROR", "DELETED"];

export function servers(app: Hono<AppEnv>): void {
  resource(app, "/servers", { GET: (c) => list(c, "servers"), POST: create });
  resource(app, "/servers/detail", { GET: (c) => list(c, "servers/detail") });
  resource(app, "/servers/:id", { GET: show, PUT: update, DELETE: remove });
}

/** The `Server` object that the URL names. A name that is no uuid is no server: clients look names up this way. */
export function serverOf(c: Context<AppEnv>) {
  const id = c.req.param("id") ?? "";
  if (!UUID.test(id)) throw instanceNotFound(id);
  return { id, stub: c.env.SERVER.getByName(id) };
}

/** The fault for an action that was not begun. */
export function actionFault(id: string, error: ActionError): Fault {
  if (error.kind === "not_found") return instanceNotFound(id);
  if (error.kind === "locked") return conflict(`Instance ${id} is locked`);
  return conflict(`Cannot '${error.verb}' instance ${id} while it is in ${error.attr} ${error.state}`);
}

async function show(c: Context<AppEnv>) {
  const { id, stub } = serverOf(c);
  const record = await stub.show(c.var.actor);
  if (record === null) throw instanceNotFound(id);
  const asks = c.var.actor.is_admin && c.var.minor >= USER_DATA_MINOR;
  const [hosts, userData] = await Promise.all([hostStatus(c), asks ? stub.userData(c.var.actor) : null]);
  return c.json({ server: serverView(c, record, { hostStatus: hosts, userData }) });
}

async function update(c: Context<AppEnv>) {
  requireMember(c, "os_compute_api:servers:update");
  const { server } = await jsonBody(c, updateServer(c.var.minor));
  const { name, description, "OS-DCF:diskConfig": disk, accessIPv4, accessIPv6 } = server;
  const { id, stub } = serverOf(c);
  const changed = await stub.change(c.var.actor, {
    of: "server",
    change: {
      ...(name === undefined ? {} : { display_name: name }),
      ...(description === undefined ? {} : { description }),
      ...(disk === undefined ? {} : { disk_config: disk }),
      ...(accessIPv4 === undefined ? {} : { access_ip_v4: accessIPv4 }),
      ...(accessIPv6 === undefined ? {} : { access_ip_v6: accessIPv6 }),
    },
  });
  if (!changed.ok) throw detailsFault(id, changed.error);
  return c.json({ server: serverCore(c, changed.value.record) });
}

async function remove(c: Context<AppEnv>) {
  requireMember(c, "os_compute_api:servers:delete");
  const { id, stub } = serverOf(c);
  const begun = await stub.remove(c.var.actor);
  if (!begun.ok) throw actionFault(id, begun.error);
  return c.body(null, 204);
}

async function create(c: Context<AppEnv>) {
  requireMember(c, "os_compute_api:servers:create");
  const body = await jsonBody(c, createServer(c.var.minor));
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

async function list(c: Context<AppEnv>, path: "servers" | "servers/detail") {
  const asked = query(c, listServers);
  const { actor } = c.var;
  if (asked.all_tenants) requireAdmin(c, `os_compute_api:${path.replace("/", ":")}:get_all_tenants`);
  if (asked.deleted) {
    if (!actor.is_admin) throw forbidden("Only administrators may list deleted instances");
    return c.json({ servers: [] });
  }
  const wanted = listQuery(c, asked);
  if (wanted === null) return c.json({ servers: [] });
  const page = await pageFor(c, asked, wanted);
  const last = page.full ? page.servers.at(-1) : undefined;
  const next = last ? { servers_links: nextLink(c, path, last.uuid) } : {};
  if (path === "servers") return c.json({ servers: page.servers.map((one) => serverBrief(c, one)), ...next });
  const hosts = await hostStatus(c);
  return c.json({ servers: page.servers.map((one) => serverView(c, one, { hostStatus: hosts })), ...next });
}

/** The page from the caller's project, or from all of them. */
async function pageFor(c: Context<AppEnv>, asked: ListServers, wanted: ListQuery) {
  const project = asked.project_id ?? asked.tenant_id;
  let result: Result<Page, BadQuery>;
  if (!asked.all_tenants || project !== undefined) {
    const name = asked.all_tenants && project !== undefined ? project : c.var.actor.project_id;
    result = await c.env.PROJECT.getByName(name).list(wanted);
  } else {
    const all: ServerRecord[] = [];
    const { marker: _, ...unpaged } = wanted;
    for (const { id } of await c.env.IDENTITY.getByName("default").projects()) {
      const part = await c.env.PROJECT.getByName(id).list({ ...unpaged, limit: Number.MAX_SAFE_INTEGER });
      if (part.ok) all.push(...part.value.servers);
    }
    result = pageOf(all, wanted);
  }
  if (!result.ok) throw badRequest(result.error.message);
  return result.value;
}

/** The query as the index takes it; null when nothing can match. */
function listQuery(c: Context<AppEnv>, asked: ListServers): ListQuery | null {
  const { MAX_LIMIT } = config(c.env);
  const given = c.req.queries();
  const filters = allowed(given, c.var.minor, c.var.actor.is_admin);
  const wrong = wrongValue(filters);
  if (wrong) {
    throw badRequest(`Invalid input for query parameters ${wrong.name}. Value: ${wrong.value}. ${wrong.why}`);
  }
  const states = filters.find(({ name }) => name === "status")?.values ?? [];
  const known = states.filter((one) => STATUSES.includes(one.toUpperCase()));
  if (known.length < states.length && c.var.minor >= 38) throw badRequest("Invalid status value");
  if (states.some((one) => one.toUpperCase() === "DELETED") && !c.var.actor.is_admin) {
    throw forbidden("Only administrators may list deleted instances");
  }
  if (states.length > 0 && known.length === 0) return null;
  const limit = Math.min(asked.limit ?? MAX_LIMIT, MAX_LIMIT);
  return { filters, sort: sortOf(c, asked), limit, ...(asked.marker === undefined ? {} : { marker: asked.marker }) };
}

/** Columns of Nova's table that mean nothing here, or that Nova itself only pretends to sort by (≤ 2.74). */
const IGNORED_SORT_KEYS: ReadonlySet<string> = new Set(
  (
    "access_ip_v4 access_ip_v6 auto_disk_config cell_name cleaned config_drive default_ephemeral_device " +
    "default_swap_device deleted deleted_at disable_terminate display_description ephemeral_gb " +
    "ephemeral_key_uuid id image_ref instance_type_id kernel_id key_name locked locked_by memory_mb " +
    "os_type ramdisk_id reservation_id root_device_name root_gb shutdown_terminate vcpus vm_mode"
  ).split(" "),
);

function sortOf(c: Context<AppEnv>, asked: ListServers): ListQuery["sort"] {
  // A key that is ignored still has its direction, which must not pass to the next one.
  return (asked.sort_key ?? ["created_at"]).flatMap((key, i) => {
    if (IGNORED_SORT_KEYS.has(key)) return [];
    if ((key === "host" || key === "node") && !c.var.actor.is_admin) throw forbidden(`sort_key ${key} is for admins`);
    if (!(SORT_KEYS as readonly string[]).includes(key)) {
      throw badRequest(`Invalid input for query parameters sort_key. Value: ${key}.`);
    }
    return { key: key as SortKey, dir: asked.sort_dir?.[i] ?? asked.sort_dir?.at(-1) ?? "desc" };
  });
}

/** Of each host: DOWN, MAINTENANCE, UP or UNKNOWN (nova: get_instance_host_status). Asked for only where it is shown. */
async function hostStatus(c: Context<AppEnv>): Promise<ReadonlyMap<string, string>> {
  if (!c.var.actor.is_admin || c.var.minor < 16) return new Map();
  const hosts = await c.env.SCHEDULER.getByName("default").hosts();
  const statusOf = ({ up, enabled, forced_down }: KnownHost) =>
    forced_down ? "DOWN" : enabled ? (up ? "UP" : "UNKNOWN") : "MAINTENANCE";
  return new Map(hosts.map((host) => [host.host, statusOf(host)]));
}
