/** /os-aggregates (nova/api/openstack/compute/aggregates.py). */
import type { Context } from "hono";
import type { z } from "zod";
import type { Result } from "../result.ts";
import { type Aggregate, type AggregateChange, type AggregateRefusal, ZONE_KEY } from "../scheduler/aggregates.ts";
import { actionOf, anyAction, noSuchAction } from "./action-body.ts";
import type { AppEnv } from "./app-env.ts";
import { badRequest, conflict, type Fault, notFound } from "./fault.ts";
import { has } from "./history.ts";
import { operation, type Paths } from "./operation.ts";
import { AGGREGATE_ACTIONS, createAggregate, updateAggregate } from "./schema/aggregate.ts";
import { microseconds } from "./timestamp.ts";
import { parse } from "./validate.ts";

const RULE = "os_compute_api:os-aggregates";

export const aggregates: Paths = {
  "/os-aggregates": {
    GET: operation({
      summary: "List aggregates of hosts",
      rule: `${RULE}:index`,
      role: "admin",
      status: 200,
      answers: "aggregates",
      run: async (c) => c.json({ aggregates: (await store(c).aggregates()).map((one) => view(c, one)) }),
    }),
    POST: operation({
      summary: "Create an aggregate",
      rule: `${RULE}:create`,
      role: "admin",
      body: createAggregate,
      status: 200,
      answers: "aggregate",
      run: (c, { body }) => create(c, body.aggregate),
    }),
  },
  "/os-aggregates/:id": {
    GET: operation({
      summary: "Show an aggregate",
      rule: `${RULE}:show`,
      role: "admin",
      status: 200,
      answers: "aggregate",
      run: async (c) => c.json({ aggregate: view(c, await aggregateOf(c)) }),
    }),
    PUT: operation({
      summary: "Rename an aggregate, or change its zone",
      rule: `${RULE}:update`,
      role: "admin",
      body: updateAggregate,
      status: 200,
      answers: "aggregate",
      run: (c, { body }) => update(c, body.aggregate),
    }),
    DELETE: operation({
      summary: "Delete an empty aggregate",
      rule: `${RULE}:delete`,
      role: "admin",
      status: 200,
      run: remove,
    }),
  },
  "/os-aggregates/:id/action": {
    POST: operation({
      summary: "Add or remove a host, or set metadata: add_host, remove_host, set_metadata",
      rule: `${RULE}:add_host`,
      role: "admin",
      body: anyAction,
      forms: AGGREGATE_ACTIONS,
      status: 200,
      answers: "aggregate",
      run: (c, { body }) => act(c, body),
    }),
  },
};

const store = (c: Context<AppEnv>) => c.env.SCHEDULER.getByName("default");

/** The aggregate in the path. */
export async function aggregateOf(c: Context<AppEnv>): Promise<Aggregate> {
  const id = idOf(c);
  const found = (await store(c).aggregates()).find((one) => one.id === id);
  if (!found) throw notFound(`Aggregate ${id} could not be found.`);
  return found;
}

/** The answer tells neither hosts nor metadata: there are none yet. */
async function create(c: Context<AppEnv>, asked: z.infer<typeof createAggregate>["aggregate"]): Promise<Response> {
  const { name, availability_zone } = asked;
  const made = await store(c).createAggregate(name, availability_zone ?? null);
  if (!made.ok) throw conflict(`Aggregate ${name} already exists.`);
  return c.json({ aggregate: brief(c, made.value) });
}

async function update(c: Context<AppEnv>, asked: z.infer<typeof updateAggregate>["aggregate"]): Promise<Response> {
  const id = idOf(c);
  const { name, availability_zone: zone } = asked;
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
  const id = idOf(c);
  const removed = await store(c).removeAggregate(id);
  if (removed.ok) return c.body(null, 200);
  if (removed.error.kind === "not_found") throw notFound(`Aggregate ${id} could not be found.`);
  throw badRequest(`Cannot remove host from aggregate ${id}. Reason: Host aggregate is not empty.`);
}

async function act(c: Context<AppEnv>, body: z.infer<typeof anyAction>): Promise<Response> {
  const id = idOf(c);
  const key = actionOf(body);
  switch (key) {
    case "add_host": {
      const { host } = parse(AGGREGATE_ACTIONS.add_host, body, c.var.legacy).add_host;
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
      const { host } = parse(AGGREGATE_ACTIONS.remove_host, body, c.var.legacy).remove_host;
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
      const { metadata } = parse(AGGREGATE_ACTIONS.set_metadata, body, c.var.legacy).set_metadata;
      return changed(
        c,
        { do: "update", metadata },
        {
          invalid: (reason) => badRequest(`Cannot update metadata of aggregate ${id}. Reason: ${reason}.`),
        },
      );
    }
  }
  throw noSuchAction(key);
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
    ...(has(c.var.minor, "aggregate.uuid") ? { uuid } : {}),
  };
}

function view(c: Context<AppEnv>, one: Aggregate): object {
  return { ...brief(c, one), hosts: one.hosts, metadata: one.metadata };
}
