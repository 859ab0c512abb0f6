/** A flavor's extra specs, and who may use it (nova/api/openstack/compute/flavors_extraspecs.py, flavor_access.py). */
import type { Context, Hono } from "hono";
import { z } from "zod";
import type { AppEnv } from "./app-env.ts";
import { badRequest, conflict, notFound } from "./fault.ts";
import { flavorId, flavorNotFound, flavorOf, flavorStore } from "./flavors.ts";
import { requireAdmin } from "./policy.ts";
import { resource } from "./resource.ts";
import { extraSpecs, tenantAccess } from "./schema/flavor.ts";
import { jsonBody, parse } from "./validate.ts";

/** From here on a public flavor cannot be shared. */
const NO_PUBLIC_ACCESS_MINOR = 7;

const SPECS = "os_compute_api:os-flavor-extra-specs";
const ACCESS = "os_compute_api:os-flavor-access";

export function flavorDetails(app: Hono<AppEnv>): void {
  resource(app, "/flavors/:id/os-extra_specs", {
    GET: async (c) => c.json({ extra_specs: (await flavorOf(c)).extra_specs }),
    POST: addSpecs,
  });
  resource(app, "/flavors/:id/os-extra_specs/:key", { GET: showSpec, PUT: setSpec, DELETE: removeSpec });
  resource(app, "/flavors/:id/os-flavor-access", { GET: access });
  resource(app, "/flavors/:id/action", { POST: act });
}

async function addSpecs(c: Context<AppEnv>): Promise<Response> {
  requireAdmin(c, `${SPECS}:create`);
  const { extra_specs } = await jsonBody(c, z.strictObject({ extra_specs: extraSpecs }));
  if (!(await flavorStore(c).addSpecs(flavorId(c), extra_specs))) throw flavorNotFound(flavorId(c));
  return c.json({ extra_specs });
}

const keyOf = (c: Context<AppEnv>) => c.req.param("key") ?? "";

const noSuchSpec = (c: Context<AppEnv>) =>
  notFound(`Flavor ${flavorId(c)} has no extra specs with key ${keyOf(c).slice(0, 255)}.`);

async function showSpec(c: Context<AppEnv>): Promise<Response> {
  const { extra_specs } = await flavorOf(c);
  if (!Object.hasOwn(extra_specs, keyOf(c))) throw noSuchSpec(c);
  return c.json({ [keyOf(c)]: extra_specs[keyOf(c)] });
}

async function setSpec(c: Context<AppEnv>): Promise<Response> {
  requireAdmin(c, `${SPECS}:update`);
  const specs = await jsonBody(c, extraSpecs);
  const keys = Object.keys(specs);
  if (keys.length !== 1) throw badRequest("Request body contains too many items");
  if (keys[0] !== keyOf(c)) throw badRequest("Request body and URI mismatch");
  if (!(await flavorStore(c).addSpecs(flavorId(c), specs))) throw flavorNotFound(flavorId(c));
  return c.json(specs);
}

async function removeSpec(c: Context<AppEnv>): Promise<Response> {
  requireAdmin(c, `${SPECS}:delete`);
  const removed = await flavorStore(c).removeSpec(flavorId(c), keyOf(c));
  if (removed.ok) return c.body(null, 200);
  throw removed.error.kind === "not_found" ? flavorNotFound(flavorId(c)) : noSuchSpec(c);
}

async function access(c: Context<AppEnv>): Promise<Response> {
  requireAdmin(c, ACCESS);
  const { is_public } = await flavorOf(c);
  if (is_public) throw notFound("Access list not available for public flavors.");
  return c.json(await accessView(c));
}

async function accessView(c: Context<AppEnv>): Promise<object> {
  const projects = await flavorStore(c).access(flavorId(c));
  return { flavor_access: projects.map((tenant_id) => ({ flavor_id: flavorId(c), tenant_id })) };
}

async function act(c: Context<AppEnv>): Promise<Response> {
  const asked = await jsonBody(c, z.record(z.string(), z.unknown()));
  const [key, ...others] = Object.keys(asked);
  if (key === undefined || others.length > 0) throw badRequest("Malformed request body");
  if (key !== "addTenantAccess" && key !== "removeTenantAccess") {
    throw badRequest(`There is no such action: ${key.slice(0, 100)}`);
  }
  const adds = key === "addTenantAccess";
  requireAdmin(c, `${ACCESS}:${adds ? "add" : "remove"}_tenant_access`);
  const { tenant } = parse(z.strictObject({ [key]: tenantAccess }), asked)[key] as z.infer<typeof tenantAccess>;
  const { is_public } = await flavorOf(c);
  await checkProject(c, tenant);
  const combination = `for flavor ${flavorId(c)} and project ${tenant} combination.`;
  if (adds) {
    if (is_public && c.var.minor >= NO_PUBLIC_ACCESS_MINOR) throw conflict("Can not add access to a public flavor.");
    if (!(await flavorStore(c).share(flavorId(c), tenant)))
      throw conflict(`Flavor access already exists ${combination}`);
  } else if (!(await flavorStore(c).unshare(flavorId(c), tenant))) {
    throw notFound(`Flavor access not found ${combination}`);
  }
  return c.json(await accessView(c));
}

async function checkProject(c: Context<AppEnv>, project: string): Promise<void> {
  const known = await c.env.IDENTITY.getByName("default").projects();
  if (!known.some(({ id }) => id === project)) throw badRequest(`Project ID ${project} is not a valid project.`);
}
