/** /servers/{id}/os-instance-actions (nova/api/openstack/compute/instance_actions.py). */
import type { Context } from "hono";
import type { InstanceAction, InstanceEvent } from "../conductor/action-log.ts";
import type { AppEnv } from "./app-env.ts";
import { badRequest, instanceNotFound, notFound } from "./fault.ts";
import { type Feature, has } from "./history.ts";
import { operation, type Paths } from "./operation.ts";
import { paged } from "./paging.ts";
import { type ListActions, listActions } from "./schema/list.ts";
import { hostId } from "./server-view.ts";
import { serverOf, serverRecord } from "./servers.ts";
import { microseconds } from "./timestamp.ts";

const RULE = "os_compute_api:os-instance-actions";

export const instanceActions: Paths = {
  "/servers/:id/os-instance-actions": {
    GET: operation({
      summary: "List what was asked of a server, newest first",
      rule: `${RULE}:list`,
      role: "reader",
      query: listActions,
      status: 200,
      answers: "instanceActions",
      run: (c, { query }) => list(c, query),
    }),
  },
  "/servers/:id/os-instance-actions/:request": {
    GET: operation({
      summary: "Show what one request did to a server",
      rule: `${RULE}:show`,
      role: "reader",
      status: 200,
      answers: "instanceAction",
      run: show,
    }),
  },
};

async function list(c: Context<AppEnv>, asked: ListActions): Promise<Response> {
  const { id, stub } = serverOf(c);
  const { "changes-since": since, "changes-before": before } = asked;
  if (since !== undefined && before !== undefined && since > before) {
    throw badRequest("The value of changes-since must be less than or equal to changes-before.");
  }
  await existing(c);
  const all = await stub.actions(c.var.actor);
  if (all === null) throw instanceNotFound(id);
  if (!has(c.var.minor, "action.paging")) return c.json({ instanceActions: all.map((one) => view(c, id, one)) });
  const wanted = all.filter((one) => {
    const changed = one.updated_at ?? one.start_time;
    return (since === undefined || changed >= since) && (before === undefined || changed <= before);
  });
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
  const { action, events } = found;
  const withEvents = c.var.actor.is_admin || has(c.var.minor, "action.owner-events");
  const shown = withEvents ? { events: events.map((one) => eventView(c, action.project_id, one)) } : {};
  return c.json({ instanceAction: { ...view(c, id, action), ...shown } });
}

/** Before 2.21 a deleted server's actions are as gone as the server. */
async function existing(c: Context<AppEnv>): Promise<void> {
  if (!has(c.var.minor, "action.deleted-server")) await serverRecord(c);
}

function view(c: Context<AppEnv>, id: string, one: InstanceAction): object {
  const { action, request_id, user_id, project_id, message } = one;
  const changed = microseconds(one.updated_at ?? one.start_time);
  const start_time = microseconds(one.start_time);
  const updated = has(c.var.minor, "action.paging") ? { updated_at: changed } : {};
  return { action, instance_uuid: id, request_id, user_id, project_id, start_time, message, ...updated };
}

/** What of an event is shown since when, and whether to admins alone. */
const EVENT: Readonly<
  Record<string, { on?: Feature; admin?: true; value(one: InstanceEvent, project: string): unknown }>
> = {
  event: { value: (one) => one.event },
  start_time: { value: (one) => microseconds(one.start_time) },
  finish_time: { value: (one) => microseconds(one.finish_time) },
  result: { value: (one) => one.result },
  // The inside of a failure is in the log, under its request's id.
  traceback: { admin: true, value: () => null },
  host: { on: "action.event-host", admin: true, value: (one) => one.host },
  hostId: { on: "action.event-host", value: (one, project) => hostId(project, one.host) },
  details: { on: "action.event-details", admin: true, value: (one) => one.details },
};

function eventView(c: Context<AppEnv>, project: string, one: InstanceEvent): object {
  const { actor, minor } = c.var;
  const shown = Object.entries(EVENT).filter(([, { on, admin }]) => {
    return (on === undefined || has(minor, on)) && (!admin || actor.is_admin);
  });
  return Object.fromEntries(shown.map(([name, { value }]) => [name, value(one, project)]));
}
