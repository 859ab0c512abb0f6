/** A flavor's extra specs, and who may use it (nova/api/openstack/compute/flavors_extraspecs.py, flavor_access.py). */
import type { Context } from "hono";
import { z } from "zod";
import { actionOf, anyAction, noSuchAction } from "./action-body.ts";
import type { AppEnv } from "./app-env.ts";
import { wrongSpec } from "./extra-specs.ts";
import { badRequest, conflict, notFound } from "./fault.ts";
import { flavorId, flavorNotFound, flavorOf, flavorStore } from "./flavors.ts";
import { has } from "./history.ts";
import { operation, type Paths } from "./operation.ts";
import { checkProject } from "./projects.ts";
import { ACCESS_ACTIONS, extraSpecs } from "./schema/flavor.ts";
import { parse } from "./validate.ts";

const SPECS = "os_compute_api:os-flavor-extra-specs";
const ACCESS = "os_compute_api:os-flavor-access";

export const flavorDetails: Paths = {
  "/flavors/:id/os-extra_specs": {
    GET: operation({
      summary: "List a flavor's extra specs",
      rule: `${SPECS}:index`,
      role: "reader",
      status: 200,
      answers: "extra_specs",
      run: async (c) => c.json({ extra_specs: (await flavorOf(c)).extra_specs }),
    }),
    POST: operation({
      summary: "Add extra specs to a flavor",
      rule: `${SPECS}:create`,
      role: "admin",
      body: z.strictObject({ extra_specs: extraSpecs }),
      status: 200,
      answers: "extra_specs",
      run: (c, { body }) => addSpecs(c, body.extra_specs),
    }),
  },
  "/flavors/:id/os-extra_specs/:key": {
    GET: operation({
      summary: "Show one of a flavor's extra specs",
      rule: `${SPECS}:show`,
      role: "reader",
      status: 200,
      run: showSpec,
    }),
    PUT: operation({
      summary: "Set one of a flavor's extra specs",
      rule: `${SPECS}:update`,
      role: "admin",
      body: extraSpecs,
      status: 200,
      run: (c, { body }) => setSpec(c, body),
    }),
    DELETE: operation({
      summary: "Remove one of a flavor's extra specs",
      rule: `${SPECS}:delete`,
      role: "admin",
      status: 200,
      run: removeSpec,
    }),
  },
  "/flavors/:id/os-flavor-access": {
    GET: operation({
      summary: "List the projects that a private flavor is shared with",
      rule: ACCESS,
      role: "admin",
      status: 200,
      answers: "flavor_access",
      run: access,
    }),
  },
  "/flavors/:id/action": {
    POST: operation({
      summary: "Share a flavor with a project, or no longer: addTenantAccess, removeTenantAccess",
      rule: `${ACCESS}:add_tenant_access`,
      role: "admin",
      body: anyAction,
      forms: ACCESS_ACTIONS,
      status: 200,
      answers: "flavor_access",
      run: (c, { body }) => act(c, body),
    }),
  },
};

type Specs = z.infer<typeof extraSpecs>;

/** From 2.86 on, 400 for what Nova knows to be wrong. */
function checkSpecs(c: Context<AppEnv>, specs: Specs): void {
  if (!has(c.var.minor, "flavor.checked-specs")) return;
  for (const [name, value] of Object.entries(specs)) {
    const wrong = wrongSpec(name, value);
    if (wrong !== null) throw badRequest(wrong);
  }
}

async function addSpecs(c: Context<AppEnv>, extra_specs: Specs): Promise<Response> {
  checkSpecs(c, extra_specs);
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

async function setSpec(c: Context<AppEnv>, specs: Specs): Promise<Response> {
  const keys = Object.keys(specs);
  if (keys.length !== 1) throw badRequest("Request body contains too many items");
  if (keys[0] !== keyOf(c)) throw badRequest("Request body and URI mismatch");
  checkSpecs(c, specs);
  if (!(await flavorStore(c).addSpecs(flavorId(c), specs))) throw flavorNotFound(flavorId(c));
  return c.json(specs);
}

async function removeSpec(c: Context<AppEnv>): Promise<Response> {
  const removed = await flavorStore(c).removeSpec(flavorId(c), keyOf(c));
  if (removed.ok) return c.body(null, 200);
  throw removed.error.kind === "not_found" ? flavorNotFound(flavorId(c)) : noSuchSpec(c);
}

async function access(c: Context<AppEnv>): Promise<Response> {
  const { is_public } = await flavorOf(c);
  if (is_public) throw notFound("Access list not available for public flavors.");
  return c.json(await accessView(c));
}

async function accessView(c: Context<AppEnv>): Promise<object> {
  const projects = await flavorStore(c).access(flavorId(c));
  return { flavor_access: projects.map((tenant_id) => ({ flavor_id: flavorId(c), tenant_id })) };
}

async function act(c: Context<AppEnv>, body: z.infer<typeof anyAction>): Promise<Response> {
  const key = actionOf(body);
  if (key !== "addTenantAccess" && key !== "removeTenantAccess") throw noSuchAction(key);
  const adds = key === "addTenantAccess";
  const { legacy } = c.var;
  const { tenant } = adds
    ? parse(ACCESS_ACTIONS.addTenantAccess, body, legacy).addTenantAccess
    : parse(ACCESS_ACTIONS.removeTenantAccess, body, legacy).removeTenantAccess;
  const { is_public } = await flavorOf(c);
  await checkProject(c, tenant);
  const combination = `for flavor ${flavorId(c)} and project ${tenant} combination.`;
  if (adds) {
    if (is_public && has(c.var.minor, "flavor.private-access-only"))
      throw conflict("Can not add access to a public flavor.");
    if (!(await flavorStore(c).share(flavorId(c), tenant)))
      throw conflict(`Flavor access already exists ${combination}`);
  } else if (!(await flavorStore(c).unshare(flavorId(c), tenant))) {
    throw notFound(`Flavor access not found ${combination}`);
  }
  return c.json(await accessView(c));
}
