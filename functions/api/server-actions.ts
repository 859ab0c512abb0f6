/** POST /servers/{id}/action: one key, the action (nova/api/openstack/compute/servers.py and the extensions beside it). */
import type { Context, Hono } from "hono";
import { z } from "zod";
import type { AppEnv } from "./app-env.ts";
import { openConsole } from "./consoles.ts";
import { badRequest, forbidden, instanceNotFound, notFound } from "./fault.ts";
import { requireMember } from "./policy.ts";
import { resource } from "./resource.ts";
import { getVncConsole, reboot } from "./schema/server.ts";
import { actionFault, serverOf } from "./servers.ts";
import { jsonBody, parse } from "./validate.ts";

type ServerAction = {
  /** The last microversion 2.x that has it. */
  until?: number;
  rule: string;
  run(c: Context<AppEnv>, body: Record<string, unknown>): Promise<Response>;
};

const ACTIONS: Record<string, ServerAction> = {
  "os-start": { rule: "os_compute_api:servers:start", run: (c) => power(c, "start") },
  "os-stop": { rule: "os_compute_api:servers:stop", run: (c) => power(c, "stop") },
  reboot: {
    rule: "os_compute_api:servers:reboot",
    run: (c, body) => {
      const { type } = parse(z.strictObject({ reboot }), body).reboot;
      return power(c, type === "SOFT" ? "reboot_soft" : "reboot_hard");
    },
  },
  lock: { rule: "os_compute_api:os-lock-server:lock", run: lock },
  unlock: { rule: "os_compute_api:os-lock-server:unlock", run: unlock },
  "os-getVNCConsole": {
    until: 5,
    rule: "os_compute_api:os-remote-consoles",
    run: async (c, body) => {
      const { type } = parse(z.strictObject({ "os-getVNCConsole": getVncConsole }), body)["os-getVNCConsole"];
      return c.json({ console: { type, url: await openConsole(c, "vnc", type) } });
    },
  },
};

export function serverActions(app: Hono<AppEnv>): void {
  resource(app, "/servers/:id/action", {
    POST: async (c) => {
      const body = await jsonBody(c, z.record(z.string(), z.unknown()));
      const [key, ...others] = Object.keys(body);
      if (key === undefined || others.length > 0) throw badRequest("Malformed request body");
      const action = Object.hasOwn(ACTIONS, key) ? ACTIONS[key] : undefined;
      if (action === undefined) throw badRequest(`There is no such action: ${key.slice(0, 100)}`);
      if (c.var.minor > (action.until ?? Number.POSITIVE_INFINITY)) throw notFound("The resource could not be found.");
      requireMember(c, action.rule);
      return action.run(c, body);
    },
  });
}

async function lock(c: Context<AppEnv>): Promise<Response> {
  const { id, stub } = serverOf(c);
  if (!(await stub.lock(c.var.actor)).ok) throw instanceNotFound(id);
  return c.body(null, 202);
}

async function unlock(c: Context<AppEnv>): Promise<Response> {
  const { id, stub } = serverOf(c);
  const done = await stub.unlock(c.var.actor);
  if (done.ok) return c.body(null, 202);
  if (done.error.kind === "not_found") throw instanceNotFound(id);
  throw forbidden("Policy doesn't allow os_compute_api:os-lock-server:unlock:unlock_override to be performed.");
}

async function power(c: Context<AppEnv>, action: "start" | "stop" | "reboot_soft" | "reboot_hard"): Promise<Response> {
  const { id, stub } = serverOf(c);
  const begun = await stub.act(c.var.actor, action);
  if (!begun.ok) throw actionFault(id, begun.error);
  return c.body(null, 202);
}
