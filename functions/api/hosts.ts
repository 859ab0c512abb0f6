/** /os-hosts, up to 2.42 (nova/api/openstack/compute/hosts.py): compute hosts, before /os-services and /os-hypervisors. */
import type { Context } from "hono";
import type { z } from "zod";
import { reservedOf } from "../compute/claims.ts";
import type { ServerRecord } from "../conductor/record.ts";
import { config } from "../config.ts";
import { type ListQuery, unpacked } from "../project/listing.ts";
import type { KnownHost } from "../scheduler/host-state.ts";
import type { AppEnv } from "./app-env.ts";
import { Fault, notFound } from "./fault.ts";
import { operation, type Paths } from "./operation.ts";
import { listHosts, updateHost } from "./schema/operator.ts";

const RULE = "os_compute_api:os-hosts";

export const hosts: Paths = {
  "/os-hosts": {
    GET: operation({
      summary: "List compute hosts that are enabled",
      rule: `${RULE}:list`,
      role: "admin",
      on: "host.api",
      query: listHosts,
      status: 200,
      answers: "hosts",
      run: (c, { query }) => list(c, query.zone),
    }),
  },
  "/os-hosts/:host": {
    GET: operation({
      summary: "Show what a host has, and what of it each project's servers take",
      rule: `${RULE}:show`,
      role: "admin",
      on: "host.api",
      status: 200,
      answers: "host",
      run: show,
    }),
    PUT: operation({
      summary: "Enable or disable a host",
      rule: `${RULE}:update`,
      role: "admin",
      on: "host.api",
      body: updateHost,
      status: 200,
      run: (c, { body }) => update(c, body),
    }),
  },
  ...Object.fromEntries(
    ["startup", "shutdown", "reboot"].map((action) => [`/os-hosts/:host/${action}`, power(action)]),
  ),
};

/** No agent switches its own machine, as Nova's libvirt driver does not: 501. */
function power(action: string): Paths[string] {
  return {
    GET: operation({
      summary: `Do the ${action} of a host's machine; no host here can`,
      rule: `${RULE}:${action}`,
      role: "admin",
      on: "host.api",
      status: 501,
      run: async (c) => {
        await hostOf(c);
        throw unsupported();
      },
    }),
  };
}

const unsupported = () => new Fault(501, "The requested functionality is not supported.");

const known = (c: Context<AppEnv>) => c.env.SCHEDULER.getByName("default").hosts();

async function list(c: Context<AppEnv>, zone: string | undefined): Promise<Response> {
  const shown = (await known(c)).filter((host) => host.enabled && (!zone || host.zone === zone));
  return c.json({ hosts: shown.map((host) => ({ host_name: host.host, service: "compute", zone: host.zone })) });
}

async function show(c: Context<AppEnv>): Promise<Response> {
  const { host, inventory, used } = await hostOf(c);
  const reserved = reservedOf(inventory.options, config(c.env));
  const row = (project: string, cpu: number, memory_mb: number, disk_gb: number) => {
    return { resource: { host, project, cpu, memory_mb, disk_gb } };
  };
  const servers = await serversOn(c, host);
  const sums = (project: string, of: readonly ServerRecord[]) => {
    const sum = (part: (one: ServerRecord["flavor"]) => number) =>
      of.reduce((all, { flavor }) => all + part(flavor), 0);
    return row(
      project,
      sum(({ vcpus }) => vcpus),
      sum(({ ram }) => ram),
      sum(({ disk, ephemeral }) => disk + ephemeral),
    );
  };
  const byProject = Map.groupBy(servers, (server) => server.project_id);
  return c.json({
    host: [
      row("(total)", inventory.vcpus, inventory.memory_mb, inventory.local_gb),
      row(
        "(used_now)",
        used.vcpus + reserved.vcpus,
        used.memory_mb + reserved.memory_mb,
        used.disk_gb + reserved.disk_gb,
      ),
      sums("(used_max)", servers),
      ...[...byProject].map(([project, of]) => sums(project, of)),
    ],
  });
}

/** Every project's servers on a host. */
async function serversOn(c: Context<AppEnv>, host: string): Promise<ServerRecord[]> {
  const filters: ListQuery["filters"] = [{ name: "host", values: [host] }];
  const query = { filters, sort: [], limit: Number.MAX_SAFE_INTEGER };
  const projects = await c.env.IDENTITY.getByName("default").projects();
  const pages = await Promise.all(projects.map(({ id }) => c.env.PROJECT.getByName(id).list(query)));
  return pages.flatMap((page) => (page.ok ? unpacked(page.value).servers : []));
}

async function update(c: Context<AppEnv>, asked: z.infer<typeof updateHost>): Promise<Response> {
  const { host } = await hostOf(c);
  // No driver here moves guests away by itself; nothing is half done.
  if (asked.maintenance_mode !== undefined) throw unsupported();
  const enabled = asked.status === "enable";
  const changed = await c.env.HOST.getByName(host).updateService({ enabled, disabled_reason: null });
  if (changed === null) throw hostNotFound(host);
  return c.json({ host, status: changed.enabled ? "enabled" : "disabled" });
}

async function hostOf(c: Context<AppEnv>): Promise<KnownHost> {
  const name = c.req.param("host") ?? "";
  const found = (await known(c)).find(({ host }) => host === name);
  if (!found) throw hostNotFound(name);
  return found;
}

const hostNotFound = (name: string) => notFound(`Compute host ${name.slice(0, 255)} could not be found.`);
