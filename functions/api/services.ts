/** /os-services (nova/api/openstack/compute/services.py): the compute services, one a host. */
import type { Context, Hono } from "hono";
import type { HostState, KnownHost, ServiceStatus } from "../scheduler/host-state.ts";
import type { AppEnv } from "./app-env.ts";
import { badRequest, conflict, notFound } from "./fault.ts";
import { requireAdmin } from "./policy.ts";
import { resource } from "./resource.ts";
import { listServices, SERVICE_ACTIONS, updateService } from "./schema/operator.ts";
import { microseconds } from "./timestamp.ts";
import { jsonBody, query } from "./validate.ts";

export const BINARY = "nova-compute";

const FORCED_DOWN_MINOR = 11;
/** From here on a service is its UUID, and PUT names it. */
const UUID_MINOR = 53;

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const RULE = "os_compute_api:os-services";

export function services(app: Hono<AppEnv>): void {
  resource(app, "/os-services", { GET: list });
  resource(app, "/os-services/:id", { PUT: (c) => (c.var.minor >= UUID_MINOR ? update(c) : act(c)), DELETE: remove });
}

const hosts = (c: Context<AppEnv>) => c.env.SCHEDULER.getByName("default").hosts();

async function list(c: Context<AppEnv>): Promise<Response> {
  requireAdmin(c, `${RULE}:list`);
  const asked = query(c, listServices(c.var.minor));
  const wanted = (host: KnownHost) => (asked.host ?? host.host) === host.host && (asked.binary ?? BINARY) === BINARY;
  return c.json({ services: (await hosts(c)).filter(wanted).map((host) => view(c, host)) });
}

function view(c: Context<AppEnv>, host: KnownHost): object {
  return {
    id: c.var.minor >= UUID_MINOR ? host.uuid : host.id,
    binary: BINARY,
    host: host.host,
    zone: host.zone,
    status: statusOf(host),
    state: host.up ? "up" : "down",
    updated_at: microseconds(host.updated_at),
    disabled_reason: host.disabled_reason,
    ...(c.var.minor >= FORCED_DOWN_MINOR ? { forced_down: host.forced_down } : {}),
  };
}

const statusOf = ({ enabled }: ServiceStatus) => (enabled ? "enabled" : "disabled");

async function update(c: Context<AppEnv>): Promise<Response> {
  requireAdmin(c, `${RULE}:update`);
  const { status, disabled_reason, forced_down } = await jsonBody(c, updateService);
  const host = await serviceOf(c);
  if (status === "enabled" && disabled_reason !== undefined) {
    throw badRequest("Specifying 'disabled_reason' with status 'enabled' is invalid.");
  }
  if (status === undefined && forced_down === undefined) {
    throw badRequest("No updates were requested. Fields 'status' or 'forced_down' should be specified.");
  }
  const turned = status === undefined ? {} : turn(status === "enabled", disabled_reason);
  const changed = await change(c, host.host, { ...turned, ...(forced_down === undefined ? {} : { forced_down }) });
  return c.json({ service: view(c, { ...host, ...changed }) });
}

const turn = (enabled: boolean, reason?: string) => ({ enabled, disabled_reason: enabled ? null : (reason ?? null) });

/** PUT /os-services/<action>, up to 2.52. */
async function act(c: Context<AppEnv>): Promise<Response> {
  requireAdmin(c, `${RULE}:update`);
  const action = c.req.param("id") ?? "";
  switch (action) {
    case "enable":
    case "disable": {
      const { host, binary } = await jsonBody(c, SERVICE_ACTIONS[action]);
      const status = statusOf(await changeNamed(c, { host, binary }, turn(action === "enable")));
      return c.json({ service: { host, binary, status } });
    }
    case "disable-log-reason": {
      const { host, binary, disabled_reason } = await jsonBody(c, SERVICE_ACTIONS[action]);
      const status = statusOf(await changeNamed(c, { host, binary }, turn(false, disabled_reason)));
      return c.json({ service: { host, binary, status, disabled_reason } });
    }
    case "force-down": {
      if (c.var.minor < FORCED_DOWN_MINOR) break;
      const { host, binary, forced_down } = await jsonBody(c, SERVICE_ACTIONS[action]);
      await changeNamed(c, { host, binary }, { forced_down });
      return c.json({ service: { host, binary, forced_down } });
    }
  }
  throw notFound("Unknown action");
}

async function changeNamed(c: Context<AppEnv>, of: { host: string; binary: string }, to: Partial<ServiceStatus>) {
  const known = of.binary === BINARY && (await hosts(c)).some(({ host }) => host === of.host);
  if (!known) throw notFound(`Could not find binary ${of.binary} on host ${of.host}.`);
  return change(c, of.host, to);
}

async function change(c: Context<AppEnv>, host: string, to: Partial<ServiceStatus>): Promise<HostState> {
  const changed = await c.env.HOST.getByName(host).updateService(to);
  if (changed === null) throw notFound(`Could not find binary ${BINARY} on host ${host}.`);
  return changed;
}

async function remove(c: Context<AppEnv>): Promise<Response> {
  requireAdmin(c, `${RULE}:delete`);
  const { host } = await serviceOf(c);
  const removed = await c.env.HOST.getByName(host).deleteService();
  if (!removed.ok) {
    throw conflict(
      "Unable to delete compute service that is hosting instances. Migrate or delete the instances first.",
    );
  }
  return c.body(null, 204);
}

/** The service that the path names: 400 for what is no id at this microversion. */
async function serviceOf(c: Context<AppEnv>): Promise<KnownHost> {
  const id = c.req.param("id") ?? "";
  const byUuid = c.var.minor >= UUID_MINOR;
  if (byUuid && !UUID.test(id)) throw badRequest(`Invalid uuid ${id.slice(0, 64)}`);
  if (!byUuid && !/^\d{1,10}$/.test(id)) throw badRequest(`Invalid id ${id.slice(0, 64)}: it must be an integer`);
  const found = (await hosts(c)).find((host) => (byUuid ? host.uuid : String(host.id)) === id);
  if (!found) throw notFound(`Service ${id} could not be found.`);
  return found;
}
