/** GET /servers and /servers/detail: who may see which servers, in what order (nova/api/openstack/compute/servers.py _get_servers). */
import type { Context } from "hono";
import { STATUSES } from "../conductor/state.ts";
import { config } from "../config.ts";
import type { Asked } from "../project/filters.ts";
import { type ListQuery, merged, type Page, SORT_KEYS, type SortKey, unpacked } from "../project/listing.ts";
import type { Project } from "../project/project.ts";
import type { AppEnv } from "./app-env.ts";
import { badRequest, forbidden } from "./fault.ts";
import { has } from "./history.ts";
import { requireAdmin } from "./policy.ts";
import { nextLink } from "./resource.ts";
import { type ListServers, usable } from "./schema/server-list.ts";
import { hostStatus, serverBrief, serverView } from "./server-view.ts";

/** Columns of Nova's table that it only pretends to sort by, up to 2.74 (SERVER_LIST_IGNORE_SORT_KEY). */
const IGNORED_SORT_KEYS: ReadonlySet<string> = new Set(
  (
    "architecture cell_name cleaned default_ephemeral_device default_swap_device deleted deleted_at " +
    "disable_terminate ephemeral_gb ephemeral_key_uuid id key_data launched_on locked memory_mb os_type " +
    "reservation_id root_gb shutdown_terminate user_data vcpus vm_mode"
  ).split(" "),
);

/** Tables that Nova joins: naming one is no filter. */
const JOINED = /^(_.*|block_device_mapping|services|metadata|system_metadata|info_cache|security_groups|pci_devices)$/;

/** The page that is asked for, each server with its id and its name alone, or in full. */
export async function listServers(c: Context<AppEnv>, how: "index" | "detail", asked: ListServers): Promise<Response> {
  const { actor, minor } = c.var;
  if (asked.all_tenants) requireAdmin(c, `os_compute_api:servers:${how}:get_all_tenants`);
  const wanted = listQuery(c, asked);
  if (wanted === null) return c.json({ servers: [] });
  const [page, statuses] = await Promise.all([pageFor(c, asked, wanted), how === "detail" ? hostStatus(c) : new Map()]);
  const last = page.full ? page.servers.at(-1) : undefined;
  const path = how === "index" ? "servers" : "servers/detail";
  const next = last ? { servers_links: nextLink(c, path, last.uuid) } : {};
  if (how === "index") return c.json({ servers: page.servers.map((one) => serverBrief(c, one)), ...next });
  const view = { c, minor, actor, kind: "detail", hostStatus: statuses, groups: [] } as const;
  return c.json({ servers: page.servers.map((one) => serverView(view, one)), ...next });
}

/** The page from the caller's project, or from all of them. */
async function pageFor(c: Context<AppEnv>, asked: ListServers, wanted: ListQuery): Promise<Page> {
  const named = asked.project_id ?? asked.tenant_id;
  if (!asked.all_tenants || named !== undefined) {
    // Without all_tenants the parameter is overridden, even an admin's.
    const project = asked.all_tenants && named !== undefined ? named : c.var.actor.project_id;
    const result = await c.env.PROJECT.getByName(project).list(wanted);
    if (!result.ok) throw badRequest(result.error.message);
    return unpacked(result.value);
  }
  const ids = (await c.env.IDENTITY.getByName("default").projects()).map(({ id }) => id);
  const projects = ids.map((id) => c.env.PROJECT.getByName(id));
  const { marker, ...query } = wanted;
  const from = marker === undefined ? {} : { after: await markedIn(projects, marker) };
  const pages = await Promise.all(projects.map((project) => project.list({ ...query, ...from })));
  return merged(
    pages.flatMap((page) => (page.ok ? [unpacked(page.value)] : [])),
    query,
  );
}

/** The server that a page of many projects begins after. */
async function markedIn(projects: readonly DurableObjectStub<Project>[], marker: string) {
  const found = (await Promise.all(projects.map((project) => project.find(marker)))).find((one) => one !== null);
  if (!found) throw badRequest(`marker [${marker}] not found`);
  return found;
}

/** The query as the index takes it; null when nothing can match. */
function listQuery(c: Context<AppEnv>, asked: ListServers): ListQuery | null {
  const { actor, minor } = c.var;
  const joined = Object.keys(c.req.queries()).find((name) => JOINED.test(name));
  if (actor.is_admin && joined !== undefined) throw badRequest(`Invalid filter field: ${joined.slice(0, 64)}.`);
  const filters = usable(asked, minor, actor.is_admin);
  checkTimes(filters);
  const sort = sortOf(c, asked);
  const states = asked.status?.map((one) => one.toUpperCase());
  const known = states?.filter((one) => STATUSES.has(one)) ?? [];
  if (states !== undefined && known.length === 0) {
    if (has(minor, "server.checked-status-filter")) throw badRequest("Invalid status value");
    return null;
  }
  const goneOnly = known.length > 0 && known.every((one) => one === "DELETED");
  if (goneOnly && !actor.is_admin) throw forbidden("Only administrators may list deleted instances");
  const { MAX_LIMIT } = config(c.env);
  return {
    filters,
    sort,
    limit: Math.min(asked.limit ?? MAX_LIMIT, MAX_LIMIT),
    deleted: goneOnly || deletedOf(asked, actor.is_admin),
    ...(asked.marker === undefined ? {} : { marker: asked.marker }),
  };
}

/** Who asks what changed is told also of what is gone. `deleted` is for admins, and dropped unsaid of others. */
function deletedOf(asked: ListServers, isAdmin: boolean): boolean | "both" {
  if (isAdmin && asked.deleted !== undefined) return /^(true|1|t|yes|y|on)$/i.test(asked.deleted);
  return asked["changes-since"] !== undefined || asked["changes-before"] !== undefined ? "both" : false;
}

function checkTimes(filters: readonly Asked[]): void {
  const time = (wanted: string) => Date.parse(filters.find(({ name }) => name === wanted)?.values.at(-1) ?? "");
  // NaN, where one is absent, is on no side of anything.
  if (time("changes-since") > time("changes-before")) {
    throw badRequest("The value of changes-since must be less than or equal to changes-before.");
  }
}

function sortOf(c: Context<AppEnv>, { sort_key = ["created_at"], sort_dir = [] }: ListServers): ListQuery["sort"] {
  const { actor, minor } = c.var;
  if (sort_dir.length > sort_key.length) throw badRequest("Sort direction size exceeds sort key size");
  // A key that is ignored still has its direction, which must not pass to the next one.
  const sort = sort_key.flatMap((key, i) => {
    if (isSortKey(key) && (key !== "locked" || has(minor, "server.lock-reason"))) {
      if ((key === "host" || key === "node") && !actor.is_admin) throw forbidden(`sort_key ${key} is for admins`);
      return [{ key, dir: sort_dir[i] ?? sort_dir[0] ?? "desc" }];
    }
    if (IGNORED_SORT_KEYS.has(key) && !has(minor, "server.strict-query")) return [];
    throw badRequest(`Invalid input for query parameters sort_key. Value: ${key}.`);
  });
  return sort.length > 0 ? sort : [{ key: "created_at", dir: "desc" }];
}

const isSortKey = (key: string): key is SortKey => Object.hasOwn(SORT_KEYS, key);
