/** /os-services (nova/api/openstack/compute/services.py): the compute services, one a host. */
import type { Context } from "hono";
import type { z } from "zod";
import type { HostState, KnownHost, ServiceStatus } from "../scheduler/host-state.ts";
import type { AppEnv } from "./app-env.ts";
import { badRequest, conflict, notFound } from "./fault.ts";
import { has } from "./history.ts";
import { operation, type Paths } from "./operation.ts";
import { listServices, SERVICE_ACTIONS, serviceUpdate, type updateService } from "./schema/operator.ts";
import { microseconds } from "./timestamp.ts";
import { parse } from "./validate.ts";

export const BINARY = "nova-compute";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const RULE = "os_compute_api:os-services";

export const services: Paths = {
  "/os-services": {
    GET: operation({
      summary: "List compute services",
      rule: `${RULE}:list`,
      role: "admin",
      query: listServices,
      status: 200,
      answers: "services",
      run: (c, { query }) => list(c, query),
    }),
  },
  "/os-services/:id": {
    PUT: operation({
      summary: "Enable, disable or force down a service; up to 2.52 the path names what to do, not the service",
      rule: `${RULE}:update`,
      role: "admin",
      body: serviceUpdate,
      status: 200,
      answers: "service",
      run: (c, { body }) => ("change" in body ? update(c, body.change) : act(c, body.action)),
    }),
    DELETE: operation({
      summary: "Forget a service that has no servers",
      rule: `${RULE}:delete`,
      role: "admin",
      status: 204,
      run: remove,
    }),
  },
  "/os-services/:id/drain": {
    GET: operation({
      summary: "Show how far a host has been emptied of its servers",
      rule: `${RULE}:list`,
      role: "admin",
      on: "service.uuid",
      status: 200,
      answers: "drain",
      run: drainOf,
    }),
  },
};

async function drainOf(c: Context<AppEnv>): Promise<Response> {
  const { host } = await serviceOf(c);
  const drain = await c.env.DRAIN.getByName(host).status();
  if (drain === null) throw notFound(`Host ${host} was never drained.`);
  return c.json({ drain });
}

const hosts = (c: Context<AppEnv>) => c.env.SCHEDULER.getByName("default").hosts();

async function list(c: Context<AppEnv>, asked: z.infer<ReturnType<typeof listServices>>): Promise<Response> {
  const wanted = (host: KnownHost) => (asked.host ?? host.host) === host.host && (asked.binary ?? BINARY) === BINARY;
  return c.json({ services: (await hosts(c)).filter(wanted).map((host) => view(c, host)) });
}

function view(c: Context<AppEnv>, host: KnownHost): object {
  return {
    id: has(c.var.minor, "service.uuid") ? host.uuid : host.id,
    binary: BINARY,
    host: host.host,
    zone: host.zone,
    status: statusOf(host),
    state: host.up ? "up" : "down",
    updated_at: microseconds(host.updated_at),
    disabled_reason: host.disabled_reason,
    ...(has(c.var.minor, "service.forced-down") ? { forced_down: host.forced_down } : {}),
  };
}

const statusOf = ({ enabled }: ServiceStatus) => (enabled ? "enabled" : "disabled");

async function update(
  c: Context<AppEnv>,
  { status, disabled_reason, forced_down, drain }: z.infer<typeof updateService>,
): Promise<Response> {
  const host = await serviceOf(c);
  if (status === "enabled" && disabled_reason !== undefined) {
    throw badRequest("Specifying 'disabled_reason' with status 'enabled' is invalid.");
  }
  if (drain && (status === "enabled" || (status === undefined && host.enabled))) {
    throw badRequest("Only a service that is disabled can be drained: new servers would come as old ones go.");
  }
  if (status === undefined && forced_down === undefined && drain === undefined) {
    throw badRequest("No updates were requested. Fields 'status' or 'forced_down' should be specified.");
  }
  if (forced_down === false) await checkNoneIsLeft(c, host.host);
  const turned = status === undefined ? {} : turn(status === "enabled", disabled_reason);
  const changed = await change(c, host.host, { ...turned, ...(forced_down === undefined ? {} : { forced_down }) });
  const draining = c.env.DRAIN.getByName(host.host);
  if (drain) await draining.start(host.host, c.var.actor);
  else if (drain === false || status === "enabled") await draining.stop();
  return c.json({ service: view(c, { ...host, ...changed }) });
}

const turn = (enabled: boolean, reason?: string) => ({ enabled, disabled_reason: enabled ? null : (reason ?? null) });

/** PUT /os-services/<action>, up to 2.52. */
async function act(c: Context<AppEnv>, body: Record<string, unknown>): Promise<Response> {
  const action = c.req.param("id") ?? "";
  switch (action) {
    case "enable":
    case "disable": {
      const { host, binary } = parse(SERVICE_ACTIONS[action], body, c.var.legacy);
      const status = statusOf(await changeNamed(c, { host, binary }, turn(action === "enable")));
      return c.json({ service: { host, binary, status } });
    }
    case "disable-log-reason": {
      const { host, binary, disabled_reason } = parse(SERVICE_ACTIONS[action], body, c.var.legacy);
      const status = statusOf(await changeNamed(c, { host, binary }, turn(false, disabled_reason)));
      return c.json({ service: { host, binary, status, disabled_reason } });
    }
    case "force-down": {
      if (!has(c.var.minor, "service.forced-down")) break;
      const { host, binary, forced_down } = parse(SERVICE_ACTIONS[action], body, c.var.legacy);
      if (!forced_down) await checkNoneIsLeft(c, host);
      await changeNamed(c, { host, binary }, { forced_down });
      return c.json({ service: { host, binary, forced_down } });
    }
  }
  throw notFound("Unknown action");
}

/** Guests that were evacuated may still be there, and would come up beside their new selves. */
async function checkNoneIsLeft(c: Context<AppEnv>, host: string): Promise<void> {
  if ((await c.env.HOST.getByName(host).evacuations()).length === 0) return;
  throw badRequest(
    `Unable to force up host ${host} as \`done\` evacuation migration records remain associated with the host. ` +
      "Ensure the compute service has been restarted, allowing these records to move to `completed` before retrying this request.",
  );
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
  const byUuid = has(c.var.minor, "service.uuid");
  if (byUuid && !UUID.test(id)) throw badRequest(`Invalid uuid ${id.slice(0, 64)}`);
  if (!byUuid && !/^\d{1,10}$/.test(id)) throw badRequest(`Invalid id ${id.slice(0, 64)}: it must be an integer`);
  const found = (await hosts(c)).find((host) => (byUuid ? host.uuid : String(host.id)) === id);
  if (!found) throw notFound(`Service ${id} could not be found.`);
  return found;
}
