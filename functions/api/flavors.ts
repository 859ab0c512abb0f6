/** GET /flavors, /flavors/detail, /flavors/{id} (nova/api/openstack/compute/flavors.py). */
import type { Context, Hono } from "hono";
import type { Flavor } from "../compute/flavor.ts";
import { config } from "../config.ts";
import type { AppEnv } from "./app-env.ts";
import { badRequest, notFound } from "./fault.ts";
import { links, nextLink, resource } from "./resource.ts";
import { listFlavors } from "./schema/list.ts";
import { query } from "./validate.ts";

const SORT_KEYS = {
  flavorid: "flavorid",
  id: "flavorid",
  name: "name",
  vcpus: "vcpus",
  memory_mb: "ram",
  root_gb: "disk",
} as const;

export function flavors(app: Hono<AppEnv>): void {
  resource(app, "/flavors", { GET: (c) => list(c, "flavors", brief) });
  resource(app, "/flavors/detail", { GET: (c) => list(c, "flavors/detail", view) });
  resource(app, "/flavors/:id", {
    GET: async (c) => {
      return c.json({ flavor: view(c, await flavorOf(c)) });
    },
  });
  resource(app, "/flavors/:id/os-extra_specs", {
    GET: async (c) => c.json({ extra_specs: (await flavorOf(c)).extra_specs }),
  });
}

/** The flavor in the path. */
async function flavorOf(c: Context<AppEnv>): Promise<Flavor> {
  const id = c.req.param("id") ?? "";
  const flavor = await c.env.FLAVORS.getByName("default").get(id);
  if (flavor === null) throw notFound(`Flavor ${id.slice(0, 64)} could not be found.`);
  return flavor;
}

async function list(c: Context<AppEnv>, path: string, show: typeof view) {
  const asked = query(c, listFlavors);
  const key = SORT_KEYS[(asked.sort_key ?? "flavorid") as keyof typeof SORT_KEYS];
  if (key === undefined) throw badRequest(`Invalid input for query parameters sort_key. Value: ${asked.sort_key}.`);
  const all = (await c.env.FLAVORS.getByName("default").list())
    .filter((flavor) => flavor.ram >= (asked.minRam ?? 0) && flavor.disk >= (asked.minDisk ?? 0))
    .sort((a, b) => compare(a[key], b[key]) * (asked.sort_dir === "desc" ? -1 : 1));
  let from = 0;
  if (asked.marker !== undefined) {
    from = all.findIndex((flavor) => flavor.flavorid === asked.marker) + 1;
    if (from === 0) throw badRequest(`marker [${asked.marker}] not found`);
  }
  const { MAX_LIMIT } = config(c.env);
  const limit = Math.min(asked.limit ?? MAX_LIMIT, MAX_LIMIT);
  const page = all.slice(from, from + limit);
  const last = page.length === limit ? page.at(-1) : undefined;
  const next = last ? { flavors_links: nextLink(c, path, last.flavorid) } : {};
  return c.json({ flavors: page.map((flavor) => show(c, flavor)), ...next });
}

function brief(c: Context<AppEnv>, flavor: Flavor): object {
  const described = c.var.minor >= 55 ? { description: flavor.description } : {};
  return { id: flavor.flavorid, name: flavor.name, links: links(c, "flavors", flavor.flavorid), ...described };
}

function view(c: Context<AppEnv>, flavor: Flavor): object {
  return {
    ...brief(c, flavor),
    ram: flavor.ram,
    disk: flavor.disk,
    vcpus: flavor.vcpus,
    swap: flavor.swap === 0 ? "" : flavor.swap,
    "OS-FLV-EXT-DATA:ephemeral": flavor.ephemeral,
    "OS-FLV-DISABLED:disabled": flavor.disabled,
    "os-flavor-access:is_public": flavor.is_public,
    rxtx_factor: flavor.rxtx_factor,
    ...(c.var.minor >= 61 ? { extra_specs: flavor.extra_specs } : {}),
  };
}

const compare = (a: string | number, b: string | number) => (a < b ? -1 : a > b ? 1 : 0);
