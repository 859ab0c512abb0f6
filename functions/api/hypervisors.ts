/** GET /os-hypervisors (nova/api/openstack/compute/hypervisors.py): each host's node, as the scheduler last heard of it. */
import type { Context } from "hono";
import type { z } from "zod";
import { reservedOf } from "../compute/claims.ts";
import { instanceName } from "../conductor/record.ts";
import { config } from "../config.ts";
import { METHODS } from "../protocol/methods.ts";
import type { KnownHost } from "../scheduler/host-state.ts";
import type { AppEnv } from "./app-env.ts";
import { badRequest, Fault, notFound } from "./fault.ts";
import { has } from "./history.ts";
import { operation, type Paths } from "./operation.ts";
import { paged } from "./paging.ts";
import { listHypervisors, showHypervisor } from "./schema/operator.ts";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const RULE = "os_compute_api:os-hypervisors";

export const hypervisors: Paths = {
  "/os-hypervisors": {
    GET: operation({
      summary: "List hypervisors",
      rule: `${RULE}:list`,
      role: "admin",
      query: listHypervisors,
      status: 200,
      answers: "hypervisors",
      run: (c, { query }) => list(c, query, "os-hypervisors", brief),
    }),
  },
  "/os-hypervisors/detail": {
    GET: operation({
      summary: "List hypervisors with details",
      rule: `${RULE}:list-detail`,
      role: "admin",
      query: listHypervisors,
      status: 200,
      answers: "hypervisors",
      run: (c, { query }) => list(c, query, "os-hypervisors/detail", detail),
    }),
  },
  "/os-hypervisors/statistics": {
    GET: operation({
      summary: "Add up what hypervisors have and use",
      rule: `${RULE}:statistics`,
      role: "admin",
      on: "hypervisor.usage",
      status: 200,
      answers: "hypervisor_statistics",
      run: statistics,
    }),
  },
  "/os-hypervisors/:id": {
    GET: operation({
      summary: "Show a hypervisor",
      rule: `${RULE}:show`,
      role: "admin",
      query: showHypervisor,
      status: 200,
      answers: "hypervisor",
      run: (c, { query }) => show(c, query.with_servers),
    }),
  },
  "/os-hypervisors/:id/uptime": {
    GET: operation({
      summary: "Show how long a hypervisor has been up",
      rule: `${RULE}:uptime`,
      role: "admin",
      on: "hypervisor.usage",
      status: 200,
      answers: "hypervisor",
      run: uptime,
    }),
  },
  "/os-hypervisors/:pattern/search": {
    GET: operation({
      summary: "Find hypervisors by a part of their names",
      rule: `${RULE}:search`,
      role: "admin",
      on: "hypervisor.search",
      status: 200,
      answers: "hypervisors",
      run: (c) => matching(c, false),
    }),
  },
  "/os-hypervisors/:pattern/servers": {
    GET: operation({
      summary: "List the servers of the hypervisors that have a part of their names in common",
      rule: `${RULE}:servers`,
      role: "admin",
      on: "hypervisor.search",
      status: 200,
      answers: "hypervisors",
      run: (c) => matching(c, true),
    }),
  },
};

const hosts = (c: Context<AppEnv>) => c.env.SCHEDULER.getByName("default").hosts();

type Asked = z.infer<ReturnType<typeof listHypervisors>>;

type View = (c: Context<AppEnv>, host: KnownHost) => object | Promise<object>;

async function list(c: Context<AppEnv>, asked: Asked, path: string, view: View): Promise<Response> {
  const pattern = asked.hypervisor_hostname_pattern;
  if (pattern !== undefined && (asked.limit !== undefined || asked.marker !== undefined)) {
    throw badRequest("Paging over hypervisors with the hypervisor_hostname_pattern query parameter is not supported.");
  }
  const all = pattern === undefined ? await hosts(c) : named(await hosts(c), pattern);
  const idOf = (host: KnownHost) => String(hypervisorId(c, host));
  const { page, next } = paged(c, { all, idOf, path, asked });
  const shown = await Promise.all(
    page.map(async (host) => withServers(c, await view(c, host), host, asked.with_servers)),
  );
  return c.json({ hypervisors: shown, ...(next ? { hypervisors_links: next } : {}) });
}

async function show(c: Context<AppEnv>, servers: boolean | undefined): Promise<Response> {
  const host = await hypervisorOf(c);
  return c.json({ hypervisor: await withServers(c, await detail(c, host), host, servers) });
}

async function uptime(c: Context<AppEnv>): Promise<Response> {
  const host = await hypervisorOf(c);
  if (!host.up || !host.connected) throw badRequest(`Compute service of ${host.host} is unavailable at this time.`);
  const text = await uptimeOf(c, host);
  if (text === null) throw new Fault(501, "Virt driver does not implement uptime function.");
  return c.json({ hypervisor: { ...brief(c, host), uptime: text } });
}

async function statistics(c: Context<AppEnv>): Promise<Response> {
  const counted = (await hosts(c)).filter((host) => host.enabled).map((host) => usage(c, host));
  const sum = (key: keyof ReturnType<typeof usage>) => counted.reduce((all, one) => all + one[key], 0);
  const totals = Object.fromEntries(USAGE.map((key) => [key, sum(key)]));
  return c.json({ hypervisor_statistics: { count: counted.length, ...totals } });
}

/** /{pattern}/search and /{pattern}/servers, up to 2.52. */
async function matching(c: Context<AppEnv>, servers: boolean): Promise<Response> {
  const found = named(await hosts(c), c.req.param("pattern") ?? "");
  const shown = found.map((host) => withServers(c, brief(c, host), host, servers));
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
  if (has(c.var.minor, "hypervisor.uuid") && !UUID.test(id)) throw badRequest(`Invalid uuid ${id.slice(0, 64)}`);
  const host = (await hosts(c)).find((one) => String(hypervisorId(c, one)) === id);
  if (!host) throw notFound(`Hypervisor with ID '${id.slice(0, 64)}' could not be found.`);
  return host;
}

const hypervisorId = (c: Context<AppEnv>, { id, uuid }: KnownHost) => (has(c.var.minor, "hypervisor.uuid") ? uuid : id);

function brief(c: Context<AppEnv>, host: KnownHost): object {
  return {
    id: hypervisorId(c, host),
    hypervisor_hostname: host.inventory.hypervisor_hostname,
    state: host.up ? "up" : "down",
    status: host.enabled ? "enabled" : "disabled",
  };
}

async function detail(c: Context<AppEnv>, host: KnownHost): Promise<object> {
  const { hypervisor_type, hypervisor_version, host_ip = "", cpu_info } = host.inventory;
  const { host: name, disabled_reason } = host;
  const text = cpu_info === undefined ? "" : JSON.stringify(cpu_info);
  const cpu = has(c.var.minor, "hypervisor.cpu-info-object") ? (cpu_info ?? {}) : text;
  return {
    ...brief(c, host),
    hypervisor_type,
    hypervisor_version,
    // As the host sees itself: it dials out, and nobody here calls it by that.
    host_ip,
    service: { id: hypervisorId(c, host), host: name, disabled_reason },
    ...(has(c.var.minor, "hypervisor.usage") ? { cpu_info: cpu, ...usage(c, host) } : {}),
    ...(has(c.var.minor, "hypervisor.uptime") ? { uptime: host.up ? await uptimeOf(c, host) : null } : {}),
  };
}

/** What uptime(1) says on the host; null for one that cannot tell. */
async function uptimeOf(c: Context<AppEnv>, { host, uuid }: KnownHost): Promise<string | null> {
  const outcome = await c.env.HOST.getByName(host).ask("get_host_uptime", uuid, 0, {});
  const told = outcome.ok ? METHODS.get_host_uptime.value.safeParse(outcome.value) : null;
  return told?.success ? told.data.uptime : null;
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

/**
 * MiB and GiB, before ratios; what is used counts what is reserved for the host (nova: _update_usage_from_instances).
 * What is free falls below nothing where a ratio lets more be claimed than there is.
 */
function usage(c: Context<AppEnv>, host: KnownHost): Record<(typeof USAGE)[number], number> {
  const { inventory, used, io_ops } = host;
  const { vcpus, memory_mb, local_gb } = inventory;
  const reserved = reservedOf(inventory.options, config(c.env));
  const memory_mb_used = used.memory_mb + reserved.memory_mb;
  const local_gb_used = used.disk_gb + reserved.disk_gb;
  const free_disk_gb = local_gb - local_gb_used;
  return {
    vcpus,
    memory_mb,
    local_gb,
    vcpus_used: used.vcpus + reserved.vcpus,
    memory_mb_used,
    local_gb_used,
    free_ram_mb: memory_mb - memory_mb_used,
    free_disk_gb,
    // Guests that are being made or copied; what else a server does is over in seconds.
    current_workload: io_ops,
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
  return servers.length > 0 || has(c.var.minor, "hypervisor.servers-always") ? { ...view, servers } : view;
}
