/** /os-aggregates (nova/api/openstack/compute/aggregates.py). */
import type { Context, Hono } from "hono";
import { z } from "zod";
import type { Result } from "../result.ts";
import { type Aggregate, type AggregateChange, type AggregateRefusal, ZONE_KEY } from "../scheduler/aggregates.ts";
import type { AppEnv } from "./app-env.ts";
import { badRequest, conflict, type Fault, notFound } from "./fault.ts";
import { requireAdmin } from "./policy.ts";
import { resource } from "./resource.ts";
import { AGGREGATE_ACTIONS, createAggregate, updateAggregate } from "./schema/aggregate.ts";
import { microseconds } from "./timestamp.ts";
import { jsonBody, parse } from "./validate.ts";

const UUID_MINOR = 41;

const RULE = "os_compute_api:os-aggregates";

export function aggregates(app: Hono<AppEnv>): void {
  resource(app, "/os-aggregates", { GET: list, POST: create });
  resource(app, "/os-aggregates/:id", { GET: show, PUT: update, DELETE: remove });
  resource(app, "/os-aggregates/:id/action", { POST: act });
}

const store = (c: Context<AppEnv>) => c.env.SCHEDULER.getByName("default");

async function list(c: Context<AppEnv>): Promise<Response> {
  requireAdmin(c, `${RULE}:index`);
  return c.json({ aggregates: (await store(c).aggregates()).map((one) => view(c, one)) });
}

async function show(c: Context<AppEnv>): Promise<Response> {
  requireAdmin(c, `${RULE}:show`);
  const id = idOf(c);
  const found = (await store(c).aggregates()).find((one) => one.id === id);
  if (!found) throw notFound(`Aggregate ${id} could not be found.`);
  return c.json({ aggregate: view(c, found) });
}

/** The answer tells neither hosts nor metadata: there are none yet. */
async function create(c: Context<AppEnv>): Promise<Response> {
  requireAdmin(c, `${RULE}:create`);
  const { name, availability_zone } = (await jsonBody(c, createAggregate)).aggregate;
  const made = await store(c).createAggregate(name, availability_zone ?? null);
  if (!made.ok) throw conflict(`Aggregate ${name} already exists.`);
  return c.json({ aggregate: brief(c, made.value) });
}

async function update(c: Context<AppEnv>): Promise<Response> {
  requireAdmin(c, `${RULE}:update`);
  const id = idOf(c);
  const { name, availability_zone: zone } = (await jsonBody(c, updateAggregate)).aggregate;
  const change = {
    do: "update",
    ...(name === undefined ? {} : { name }),
    ...(zone === undefined ? {} : { metadata: { [ZONE_KEY]: zone } }),
  } as const;
  return changed(c, change, {
    name_exists: conflict(`Aggregate ${name} already exists.`),
    invalid: (reason) => badRequest(`Cannot update aggregate ${id}. Reason: ${reason}.`),
  });
}

async function remove(c: Context<AppEnv>): Promise<Response> {
  requireAdmin(c, `${RULE}:delete`);
  const id = idOf(c);
  const removed = await store(c).removeAggregate(id);
  if (removed.ok) return c.body(null, 200);
  if (removed.error.kind === "not_found") throw notFound(`Aggregate ${id} could not be found.`);
  throw badRequest(`Cannot remove host from aggregate ${id}. Reason: Host aggregate is not empty.`);
}

async function act(c: Context<AppEnv>): Promise<Response> {
  const body = await jsonBody(c, z.record(z.string(), z.unknown()));
  const [key, ...others] = Object.keys(body);
  if (key === undefined || others.length > 0) throw badRequest("Malformed request body");
  const id = idOf(c);
  switch (key) {
    case "add_host": {
      requireAdmin(c, `${RULE}:add_host`);
      const { host } = parse(AGGREGATE_ACTIONS.add_host, body).add_host;
      return changed(
        c,
        { do: "add_host", host },
        {
          unknown_host: notFound(`Compute host ${host} could not be found.`),
          has_host: conflict(`Aggregate ${id} already has host ${host}.`),
          invalid: (reason) => conflict(`Cannot add host to aggregate ${id}. Reason: ${reason}.`),
        },
      );
    }
    case "remove_host": {
      requireAdmin(c, `${RULE}:remove_host`);
      const { host } = parse(AGGREGATE_ACTIONS.remove_host, body).remove_host;
      return changed(
        c,
        { do: "remove_host", host },
        {
          unknown_host: notFound(`Compute host ${host} could not be found.`),
          no_host: notFound(`Aggregate ${id} has no host ${host}.`),
          invalid: (reason) => conflict(`Cannot remove host from aggregate ${id}. Reason: ${reason}.`),
        },
      );
    }
    case "set_metadata": {
      requireAdmin(c, `${RULE}:set_metadata`);
      const { metadata } = parse(AGGREGATE_ACTIONS.set_metadata, body).set_metadata;
      return changed(
        c,
        { do: "update", metadata },
        {
          invalid: (reason) => badRequest(`Cannot update metadata of aggregate ${id}. Reason: ${reason}.`),
        },
      );
    }
  }
  throw badRequest(`There is no such action: ${key.slice(0, 100)}`);
}

type Faults = { [K in Exclude<AggregateRefusal["kind"], "invalid">]?: Fault } & { invalid: (reason: string) => Fault };

async function changed(c: Context<AppEnv>, change: AggregateChange, faults: Faults): Promise<Response> {
  const id = idOf(c);
  const result: Result<Aggregate, AggregateRefusal> = await store(c).changeAggregate(id, change);
  if (result.ok) return c.json({ aggregate: view(c, result.value) });
  const { error } = result;
  if (error.kind === "invalid") throw faults.invalid(error.reason);
  throw faults[error.kind] ?? notFound(`Aggregate ${id} could not be found.`);
}

/** Unlike what else an operator sees, an aggregate is named by its number at every microversion. */
function idOf(c: Context<AppEnv>): number {
  const text = c.req.param("id") ?? "";
  if (!/^\d{1,10}$/.test(text)) throw badRequest(`Invalid aggregate id ${text.slice(0, 64)}: it must be an integer`);
  return Number(text);
}

function brief(c: Context<AppEnv>, one: Aggregate): object {
  const { id, uuid, name, metadata, created_at, updated_at } = one;
  return {
    id,
    name,
    availability_zone: metadata[ZONE_KEY] ?? null,
    created_at: microseconds(created_at),
    updated_at: microseconds(updated_at),
    deleted_at: null,
    deleted: false,
    ...(c.var.minor >= UUID_MINOR ? { uuid } : {}),
  };
}

function view(c: Context<AppEnv>, one: Aggregate): object {
  return { ...brief(c, one), hosts: one.hosts, metadata: one.metadata };
}
