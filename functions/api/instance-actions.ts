/** /servers/{id}/os-instance-actions (nova/api/openstack/compute/instance_actions.py). */
import type { Context, Hono } from "hono";
import type { InstanceAction, InstanceEvent } from "../conductor/action-log.ts";
import type { AppEnv } from "./app-env.ts";
import { instanceNotFound, notFound } from "./fault.ts";
import { paged } from "./paging.ts";
import { resource } from "./resource.ts";
import { listActions } from "./schema/list.ts";
import { serverOf } from "./servers.ts";
import { microseconds } from "./timestamp.ts";
import { query } from "./validate.ts";

/** From here on: actions of deleted servers, events for owners, pages and updated_at. */
const DELETED_MINOR = 21;
const EVENTS_MINOR = 51;
const PAGES_MINOR = 58;

export function instanceActions(app: Hono<AppEnv>): void {
  resource(app, "/servers/:id/os-instance-actions", { GET: list });
  resource(app, "/servers/:id/os-instance-actions/:request", { GET: show });
}

async function list(c: Context<AppEnv>): Promise<Response> {
  const { id, stub } = serverOf(c);
  await existing(c);
  const all = await stub.actions(c.var.actor);
  if (all === null) throw instanceNotFound(id);
  if (c.var.minor < PAGES_MINOR) return c.json({ instanceActions: all.map((one) => view(c, id, one)) });
  const asked = query(c, listActions);
  const changed = asked["changes-since"];
  const wanted = changed === undefined ? all : all.filter((one) => (one.updated_at ?? one.start_time) >= changed);
  const path = `servers/${id}/os-instance-actions`;
  const { page, next } = paged(c, { all: wanted, idOf: (one) => one.request_id, path, asked });
  return c.json({ instanceActions: page.map((one) => view(c, id, one)), ...(next ? { links: next } : {}) });
}

async function show(c: Context<AppEnv>): Promise<Response> {
  const { id, stub } = serverOf(c);
  await existing(c);
  const request = c.req.param("request") ?? "";
  const found = await stub.action(c.var.actor, request);
  if (found === null) throw notFound(`Action ${request.slice(0, 64)} not found`);
  const withEvents = c.var.actor.is_admin || c.var.minor >= EVENTS_MINOR;
  const events = withEvents ? { events: found.events.map((one) => eventView(c, one)) } : {};
  return c.json({ instanceAction: { ...view(c, id, found.action), ...events } });
}

/** Before 2.21 a deleted server's actions are as gone as the server. */
async function existing(c: Context<AppEnv>): Promise<void> {
  const { id, stub } = serverOf(c);
  if (c.var.minor < DELETED_MINOR && (await stub.show(c.var.actor)) === null) throw instanceNotFound(id);
}

function view(c: Context<AppEnv>, id: string, one: InstanceAction): object {
  const { action, request_id, user_id, project_id, message } = one;
  const updated = c.var.minor >= PAGES_MINOR ? { updated_at: microseconds(one.updated_at ?? one.start_time) } : {};
  const start_time = microseconds(one.start_time);
  return { action, instance_uuid: id, request_id, user_id, project_id, start_time, message, ...updated };
}

function eventView(c: Context<AppEnv>, one: InstanceEvent): object {
  const { event, result } = one;
  const times = { start_time: microseconds(one.start_time), finish_time: microseconds(one.finish_time) };
  return { event, ...times, result, ...(c.var.actor.is_admin ? { traceback: null } : {}) };
}
