/** /flavors (nova/api/openstack/compute/flavors.py, flavor_manage.py). */
import type { Context } from "hono";
import type { z } from "zod";
import type { Flavor } from "../compute/flavor.ts";
import type { AppEnv } from "./app-env.ts";
import { badRequest, conflict, notFound } from "./fault.ts";
import { has } from "./history.ts";
import { operation, type Paths } from "./operation.ts";
import { paged } from "./paging.ts";
import { links } from "./resource.ts";
import { boolean } from "./schema/fields.ts";
import { type CreateFlavor, createFlavor, type FlavorSortKey, listFlavors, updateFlavor } from "./schema/flavor.ts";

const COLUMNS = {
  flavorid: "flavorid",
  id: "flavorid",
  name: "name",
  vcpus: "vcpus",
  memory_mb: "ram",
  root_gb: "disk",
  ephemeral_gb: "ephemeral",
  swap: "swap",
  rxtx_factor: "rxtx_factor",
} as const satisfies Record<FlavorSortKey, keyof Flavor>;

const RULE = "os_compute_api:os-flavor-manage";

export const flavors: Paths = {
  "/flavors": {
    GET: operation({
      summary: "List flavors",
      rule: "os_compute_api:flavors",
      role: "reader",
      query: listFlavors,
      status: 200,
      answers: "flavors",
      run: (c, { query }) => list(c, query, "flavors", brief),
    }),
    POST: operation({
      summary: "Create a flavor",
      rule: `${RULE}:create`,
      role: "admin",
      body: createFlavor,
      status: 200,
      answers: "flavor",
      run: (c, { body }) => create(c, body.flavor),
    }),
  },
  "/flavors/detail": {
    GET: operation({
      summary: "List flavors with details",
      rule: "os_compute_api:flavors",
      role: "reader",
      query: listFlavors,
      status: 200,
      answers: "flavors",
      run: (c, { query }) => list(c, query, "flavors/detail", view),
    }),
  },
  "/flavors/:id": {
    GET: operation({
      summary: "Show a flavor",
      rule: "os_compute_api:flavors",
      role: "reader",
      status: 200,
      answers: "flavor",
      run: async (c) => c.json({ flavor: view(c, await flavorOf(c)) }),
    }),
    PUT: operation({
      summary: "Describe a flavor",
      rule: `${RULE}:update`,
      role: "admin",
      on: "flavor.description",
      body: updateFlavor,
      status: 200,
      answers: "flavor",
      run: (c, { body }) => update(c, body.flavor.description),
    }),
    DELETE: operation({
      summary: "Delete a flavor",
      rule: `${RULE}:delete`,
      role: "admin",
      status: 202,
      run: remove,
    }),
  },
};

export const flavorStore = (c: Context<AppEnv>) => c.env.FLAVORS.getByName("default");

export const flavorId = (c: Context<AppEnv>) => c.req.param("id") ?? "";

export const flavorNotFound = (id: string) => notFound(`Flavor ${id.slice(0, 64)} could not be found.`);

/** The flavor in the path, if the caller may see it. */
export async function flavorOf(c: Context<AppEnv>): Promise<Flavor> {
  const flavor = await flavorStore(c).get(flavorId(c), c.var.actor);
  if (flavor === null) throw flavorNotFound(flavorId(c));
  return flavor;
}

async function create(c: Context<AppEnv>, asked: CreateFlavor): Promise<Response> {
  const made = await flavorStore(c).create({
    flavorid: asked.id ?? crypto.randomUUID(),
    name: asked.name,
    vcpus: asked.vcpus,
    ram: asked.ram,
    disk: asked.disk,
    ephemeral: asked["OS-FLV-EXT-DATA:ephemeral"] ?? 0,
    swap: asked.swap ?? 0,
    rxtx_factor: asked.rxtx_factor ?? 1,
    is_public: asked["os-flavor-access:is_public"] ?? true,
    disabled: false,
    description: asked.description ?? null,
    extra_specs: {},
  });
  if (made.ok) return c.json({ flavor: view(c, made.value) });
  const { what } = made.error;
  throw conflict(`Flavor with ${what} ${what === "ID" ? asked.id : asked.name} already exists.`);
}

async function update(c: Context<AppEnv>, description: string | null): Promise<Response> {
  const changed = await flavorStore(c).describe(flavorId(c), description);
  if (changed === null) throw flavorNotFound(flavorId(c));
  return c.json({ flavor: view(c, changed) });
}

async function remove(c: Context<AppEnv>): Promise<Response> {
  if (!(await flavorStore(c).remove(flavorId(c)))) throw flavorNotFound(flavorId(c));
  return c.body(null, 202);
}

async function list(c: Context<AppEnv>, asked: Asked, path: string, show: typeof view): Promise<Response> {
  const key = COLUMNS[asked.sort_key ?? "flavorid"];
  const isPublic = c.var.actor.is_admin ? publicOf(asked.is_public) : true;
  const all = (await flavorStore(c).list(c.var.actor, isPublic))
    .filter((flavor) => flavor.ram >= (asked.minRam ?? 0) && flavor.disk >= (asked.minDisk ?? 0))
    .sort((a, b) => compare(a[key], b[key]) * (asked.sort_dir === "desc" ? -1 : 1));
  const { page, next } = paged(c, { all, idOf: (flavor) => flavor.flavorid, path, asked });
  return c.json({ flavors: page.map((flavor) => show(c, flavor)), ...(next ? { flavors_links: next } : {}) });
}

type Asked = z.infer<ReturnType<typeof listFlavors>>;

/** An admin's `is_public`: only the public ones unless told, and all of them for "None". */
function publicOf(text: string | undefined): boolean | null {
  if (text === undefined) return true;
  if (text.toLowerCase() === "none") return null;
  const parsed = boolean.safeParse(text);
  if (!parsed.success) throw badRequest(`Invalid is_public filter [${text}]`);
  return parsed.data;
}

function brief(c: Context<AppEnv>, flavor: Flavor): object {
  const described = has(c.var.minor, "flavor.description") ? { description: flavor.description } : {};
  return { id: flavor.flavorid, name: flavor.name, links: links(c, "flavors", flavor.flavorid), ...described };
}

function view(c: Context<AppEnv>, flavor: Flavor): object {
  return {
    ...brief(c, flavor),
    ram: flavor.ram,
    disk: flavor.disk,
    vcpus: flavor.vcpus,
    swap: flavor.swap === 0 && !has(c.var.minor, "flavor.swap-number") ? "" : flavor.swap,
    "OS-FLV-EXT-DATA:ephemeral": flavor.ephemeral,
    "OS-FLV-DISABLED:disabled": flavor.disabled,
    "os-flavor-access:is_public": flavor.is_public,
    rxtx_factor: flavor.rxtx_factor,
    ...(has(c.var.minor, "flavor.extra-specs") ? { extra_specs: flavor.extra_specs } : {}),
  };
}

const compare = (a: string | number, b: string | number) => (a < b ? -1 : a > b ? 1 : 0);
