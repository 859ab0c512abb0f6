/** /flavors (nova/api/openstack/compute/flavors.py, flavor_manage.py). */
import type { Context, Hono } from "hono";
import type { Flavor } from "../compute/flavor.ts";
import type { AppEnv } from "./app-env.ts";
import { badRequest, conflict, notFound } from "./fault.ts";
import { paged } from "./paging.ts";
import { requireAdmin } from "./policy.ts";
import { links, resource } from "./resource.ts";
import { boolean } from "./schema/fields.ts";
import { createFlavor, DESCRIPTION_MINOR, updateFlavor } from "./schema/flavor.ts";
import { listFlavors } from "./schema/list.ts";
import { jsonBody, query } from "./validate.ts";

const EXTRA_SPECS_MINOR = 61;
/** From here on a swap of none is 0, not "". */
const SWAP_NUMBER_MINOR = 75;

const SORT_KEYS = {
  flavorid: "flavorid",
  id: "flavorid",
  name: "name",
  vcpus: "vcpus",
  memory_mb: "ram",
  root_gb: "disk",
  ephemeral_gb: "ephemeral",
  swap: "swap",
  rxtx_factor: "rxtx_factor",
} as const;

const RULE = "os_compute_api:os-flavor-manage";

export function flavors(app: Hono<AppEnv>): void {
  resource(app, "/flavors", { GET: (c) => list(c, "flavors", brief), POST: create });
  resource(app, "/flavors/detail", { GET: (c) => list(c, "flavors/detail", view) });
  resource(app, "/flavors/:id", {
    GET: async (c) => c.json({ flavor: view(c, await flavorOf(c)) }),
    PUT: update,
    DELETE: remove,
  });
}

export const flavorStore = (c: Context<AppEnv>) => c.env.FLAVORS.getByName("default");

export const flavorId = (c: Context<AppEnv>) => c.req.param("id") ?? "";

export const flavorNotFound = (id: string) => notFound(`Flavor ${id.slice(0, 64)} could not be found.`);

/** The flavor in the path, if the caller may see it. */
export async function flavorOf(c: Context<AppEnv>): Promise<Flavor> {
  const flavor = await flavorStore(c).get(flavorId(c), c.var.actor);
  if (flavor === null) throw flavorNotFound(flavorId(c));
  return flavor;
}

async function create(c: Context<AppEnv>): Promise<Response> {
  requireAdmin(c, `${RULE}:create`);
  const { flavor: asked } = await jsonBody(c, createFlavor(c.var.minor));
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

async function update(c: Context<AppEnv>): Promise<Response> {
  if (c.var.minor < DESCRIPTION_MINOR) throw notFound("The resource could not be found.");
  requireAdmin(c, `${RULE}:update`);
  const { description } = (await jsonBody(c, updateFlavor)).flavor;
  const changed = await flavorStore(c).describe(flavorId(c), description);
  if (changed === null) throw flavorNotFound(flavorId(c));
  return c.json({ flavor: view(c, changed) });
}

async function remove(c: Context<AppEnv>): Promise<Response> {
  requireAdmin(c, `${RULE}:delete`);
  if (!(await flavorStore(c).remove(flavorId(c)))) throw flavorNotFound(flavorId(c));
  return c.body(null, 202);
}

async function list(c: Context<AppEnv>, path: string, show: typeof view) {
  const asked = query(c, listFlavors);
  const key = SORT_KEYS[(asked.sort_key ?? "flavorid") as keyof typeof SORT_KEYS];
  if (key === undefined) throw badRequest(`Invalid input for query parameters sort_key. Value: ${asked.sort_key}.`);
  const isPublic = c.var.actor.is_admin ? publicOf(asked.is_public) : true;
  const all = (await flavorStore(c).list(c.var.actor, isPublic))
    .filter((flavor) => flavor.ram >= (asked.minRam ?? 0) && flavor.disk >= (asked.minDisk ?? 0))
    .sort((a, b) => compare(a[key], b[key]) * (asked.sort_dir === "desc" ? -1 : 1));
  const { page, next } = paged(c, { all, idOf: (flavor) => flavor.flavorid, path, asked });
  return c.json({ flavors: page.map((flavor) => show(c, flavor)), ...(next ? { flavors_links: next } : {}) });
}

/** An admin's `is_public`: only the public ones unless told, and all of them for "None". */
function publicOf(text: string | undefined): boolean | null {
  if (text === undefined) return true;
  if (text.toLowerCase() === "none") return null;
  const parsed = boolean.safeParse(text);
  if (!parsed.success) throw badRequest(`Invalid is_public filter [${text}]`);
  return parsed.data;
}

function brief(c: Context<AppEnv>, flavor: Flavor): object {
  const described = c.var.minor >= DESCRIPTION_MINOR ? { description: flavor.description } : {};
  return { id: flavor.flavorid, name: flavor.name, links: links(c, "flavors", flavor.flavorid), ...described };
}

function view(c: Context<AppEnv>, flavor: Flavor): object {
  return {
    ...brief(c, flavor),
    ram: flavor.ram,
    disk: flavor.disk,
    vcpus: flavor.vcpus,
    swap: flavor.swap === 0 && c.var.minor < SWAP_NUMBER_MINOR ? "" : flavor.swap,
    "OS-FLV-EXT-DATA:ephemeral": flavor.ephemeral,
    "OS-FLV-DISABLED:disabled": flavor.disabled,
    "os-flavor-access:is_public": flavor.is_public,
    rxtx_factor: flavor.rxtx_factor,
    ...(c.var.minor >= EXTRA_SPECS_MINOR ? { extra_specs: flavor.extra_specs } : {}),
  };
}

const compare = (a: string | number, b: string | number) => (a < b ? -1 : a > b ? 1 : 0);
