/** GET /os-hypervisors (nova/api/openstack/compute/hypervisors.py): each host's node, as the scheduler last heard of it. */
import type { Context, Hono } from "hono";
import { instanceName } from "../conductor/record.ts";
import { config } from "../config.ts";
import type { KnownHost } from "../scheduler/host-state.ts";
import type { AppEnv } from "./app-env.ts";
import { badRequest, Fault, notFound } from "./fault.ts";
import { paged } from "./paging.ts";
import { requireAdmin } from "./policy.ts";
import { resource } from "./resource.ts";
import { listHypervisors, showHypervisor } from "./schema/operator.ts";
import { query } from "./validate.ts";

const CPU_INFO_OBJECT_MINOR = 28;
/** From here on ids are UUIDs, and search and servers are query parameters. */
const UUID_MINOR = 53;
const SERVERS_ALWAYS_MINOR = 75;
/** From here on usage is Placement's to tell, and uptime is a field. */
const NO_USAGE_MINOR = 88;

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const RULE = "os_compute_api:os-hypervisors";

export function hypervisors(app: Hono<AppEnv>): void {
  resource(app, "/os-hypervisors", { GET: (c) => list(c, "os-hypervisors", brief) });
  resource(app, "/os-hypervisors/detail", { GET: (c) => list(c, "os-hypervisors/detail", detail) });
  resource(app, "/os-hypervisors/statistics", { GET: statistics });
  resource(app, "/os-hypervisors/:id", { GET: show });
  resource(app, "/os-hypervisors/:id/uptime", { GET: uptime });
  resource(app, "/os-hypervisors/:pattern/search", { GET: (c) => matching(c, "search") });
  resource(app, "/os-hypervisors/:pattern/servers", { GET: (c) => matching(c, "servers") });
}

const hosts = (c: Context<AppEnv>) => c.env.SCHEDULER.getByName("default").hosts();

async function list(c: Context<AppEnv>, path: string, view: typeof detail): Promise<Response> {
  requireAdmin(c, `${RULE}:${view === detail ? "list-detail" : "list"}`);
  const asked = query(c, listHypervisors(c.var.minor));
  const pattern = asked.hypervisor_hostname_pattern;
  if (pattern !== undefined && (asked.limit !== undefined || asked.marker !== undefined)) {
    throw badRequest("Paging over hypervisors with the hypervisor_hostname_pattern query parameter is not supported.");
  }
  const all = pattern === undefined ? await hosts(c) : named(await hosts(c), pattern);
  const idOf = (host: KnownHost) => String(hypervisorId(c, host));
  const { page, next } = paged(c, { all, idOf, path, asked });
  const shown = await Promise.all(page.map((host) => withServers(c, view(c, host), host, asked.with_servers)));
  return c.json({ hypervisors: shown, ...(next ? { hypervisors_links: next } : {}) });
}

async function show(c: Context<AppEnv>): Promise<Response> {
  requireAdmin(c, `${RULE}:show`);
  const asked = query(c, showHypervisor(c.var.minor));
  const host = await hypervisorOf(c);
  const late = c.var.minor >= NO_USAGE_MINOR ? { uptime: null } : {};
  const shown = { ...detail(c, host), ...late };
  return c.json({ hypervisor: await withServers(c, shown, host, asked.with_servers) });
}

async function uptime(c: Context<AppEnv>): Promise<Response> {
  requireAdmin(c, `${RULE}:uptime`);
  if (c.var.minor >= NO_USAGE_MINOR) throw notFound("The resource could not be found.");
  await hypervisorOf(c);
  throw new Fault(501, "Virt driver does not implement uptime function.");
}

async function statistics(c: Context<AppEnv>): Promise<Response> {
  requireAdmin(c, `${RULE}:statistics`);
  if (c.var.minor >= NO_USAGE_MINOR) throw notFound("The resource could not be found.");
  const counted = (await hosts(c)).filter((host) => host.enabled).map((host) => usage(c, host));
  const sum = (key: keyof ReturnType<typeof usage>) => counted.reduce((all, one) => all + one[key], 0);
  const totals = Object.fromEntries(USAGE.map((key) => [key, sum(key)]));
  return c.json({ hypervisor_statistics: { count: counted.length, ...totals } });
}

/** /{pattern}/search and /{pattern}/servers, up to 2.52. */
async function matching(c: Context<AppEnv>, what: "search" | "servers"): Promise<Response> {
  requireAdmin(c, `${RULE}:${what}`);
  if (c.var.minor >= UUID_MINOR) throw notFound("The resource could not be found.");
  const found = named(await hosts(c), c.req.param("pattern") ?? "");
  const shown = found.map((host) => withServers(c, brief(c, host), host, what === "servers"));
  return c.json({ hypervisors: await Promise.all(shown) });
}

/** Those whose node's name has `text` in it, as Nova's LIKE finds them. */
function named(all: KnownHost[], text: string): KnownHost[] {
  const wanted = text.toLowerCase();
  const found = all.filter(({ inventory }) => inventory.hypervisor_hostname.toLowerCase().includes(wanted));
  if (found.length === 0) throw notFound(`No hypervisor matching '${text.slice(0, 255)}' could be found.`);
  return found;
}

async function hypervisorOf(c: Context<AppEnv>): Promise<KnownHost> {
  const id = c.req.param("id") ?? "";
  if (c.var.minor >= UUID_MINOR && !UUID.test(id)) throw badRequest(`Invalid uuid ${id.slice(0, 64)}`);
  const host = (await hosts(c)).find((one) => String(hypervisorId(c, one)) === id);
  if (!host) throw notFound(`Hypervisor with ID '${id.slice(0, 64)}' could not be found.`);
  return host;
}

const hypervisorId = (c: Context<AppEnv>, { id, uuid }: KnownHost) => (c.var.minor >= UUID_MINOR ? uuid : id);

function brief(c: Context<AppEnv>, host: KnownHost): object {
  return {
    id: hypervisorId(c, host),
    hypervisor_hostname: host.inventory.hypervisor_hostname,
    state: host.up ? "up" : "down",
    status: host.enabled ? "enabled" : "disabled",
  };
}

function detail(c: Context<AppEnv>, host: KnownHost): object {
  const { hypervisor_type, hypervisor_version } = host.inventory;
  const { host: name, disabled_reason } = host;
  const cpu_info = c.var.minor >= CPU_INFO_OBJECT_MINOR ? {} : "";
  return {
    ...brief(c, host),
    hypervisor_type,
    hypervisor_version,
    // A host dials out; no address of it is known, or needed.
    host_ip: "",
    service: { id: hypervisorId(c, host), host: name, disabled_reason },
    ...(c.var.minor >= NO_USAGE_MINOR ? {} : { cpu_info, ...usage(c, host) }),
  };
}

const USAGE = [
  "vcpus",
  "memory_mb",
  "local_gb",
  "vcpus_used",
  "memory_mb_used",
  "local_gb_used",
  "free_ram_mb",
  "free_disk_gb",
  "current_workload",
  "running_vms",
  "disk_available_least",
] as const;

/** MiB and GiB, before ratios; memory that is used counts what is reserved for the host. */
function usage(c: Context<AppEnv>, { inventory, used }: KnownHost): Record<(typeof USAGE)[number], number> {
  const { vcpus, memory_mb, local_gb } = inventory;
  const memory_mb_used = used.memory_mb + config(c.env).RESERVED_HOST_MEMORY_MB;
  const free_disk_gb = local_gb - used.disk_gb;
  return {
    vcpus,
    memory_mb,
    local_gb,
    vcpus_used: used.vcpus,
    memory_mb_used,
    local_gb_used: used.disk_gb,
    free_ram_mb: memory_mb - memory_mb_used,
    free_disk_gb,
    current_workload: 0,
    running_vms: used.instances,
    // Claims are of whole disks, however sparse.
    disk_available_least: free_disk_gb,
  };
}

/** Adds the servers, if they were asked for; before 2.75 a host without any has no such field. */
async function withServers(c: Context<AppEnv>, view: object, { host }: KnownHost, wanted: boolean | undefined) {
  if (!wanted) return view;
  const uuids = await c.env.HOST.getByName(host).servers();
  const servers = uuids.map((uuid) => ({ name: instanceName({ uuid }), uuid }));
  return servers.length > 0 || c.var.minor >= SERVERS_ALWAYS_MINOR ? { ...view, servers } : view;
}
