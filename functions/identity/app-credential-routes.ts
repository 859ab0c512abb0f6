/** /v3/users/{u}/application_credentials: keys that a user makes for his programs. */
import type { Context, Hono } from "hono";
import { z } from "zod";
import type { AppEnv } from "../api/app-env.ts";
import { badRequest, conflict, Fault, forbidden, notFound } from "../api/fault.ts";
import { originOf, resource } from "../api/resource.ts";
import { name } from "../api/schema/fields.ts";
import { jsonBody, query } from "../api/validate.ts";
import type { AppCredential } from "./app-credentials.ts";
import type { Named } from "./directory.ts";
import { page } from "./entity-views.ts";
import { hashPassword } from "./password.ts";
import { revocationsOf } from "./revocation-cache.ts";
import type { TokenClaims } from "./token.ts";
import { callerOf, denied, permitted, WRONG } from "./valid-token.ts";

const SECRET_BYTES = 64;

/** ISO 8601; without a zone it is UTC, as Keystone takes it. */
const time = z
  .string()
  .regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)?$/, "It is not a time in ISO 8601.")
  .transform((text) => Date.parse(/(Z|[+-]\d\d:\d\d)$/.test(text) ? text : `${text}Z`))
  .refine((ms) => !Number.isNaN(ms), "It is not a time.");
const role = z.union([z.object({ id: z.string().max(255) }), z.object({ name: z.string().max(255) })]);
const created = z.object({
  application_credential: z.object({
    name,
    description: z.string().max(4096).nullable().default(""),
    secret: z.string().min(1).max(4096).nullable().optional(),
    expires_at: time.nullable().default(null),
    roles: z.array(role).max(64).nullable().optional(),
    unrestricted: z.boolean().default(false),
    /** Rules for single calls are not known here, and a key that ignored them would open too much. */
    access_rules: z.array(z.unknown()).max(0, "Access rules are not supported.").nullable().optional(),
  }),
});

export function appCredentialRoutes(app: Hono<AppEnv>): void {
  const path = "/v3/users/:user/application_credentials";
  resource(app, path, { GET: list, POST: create });
  resource(app, `${path}/:id`, { GET: show, DELETE: remove });
}

async function list(c: Context<AppEnv>): Promise<Response> {
  const user = c.req.param("user") ?? "";
  await permitted(c, "list_application_credentials", (said) => said.user.id === user);
  const asked = query(c, z.object({ name: z.array(z.string()).optional() })).name?.at(-1);
  const all = await c.env.IDENTITY.getByName("default").appCredentials(user);
  const shown = all.filter((one) => asked === undefined || one.name === asked).map((one) => view(c, one));
  return c.json(page(c, "application_credentials", shown));
}

async function show(c: Context<AppEnv>): Promise<Response> {
  const { user = "", id = "" } = c.req.param();
  await permitted(c, "get_application_credential", (said) => said.user.id === user);
  const all = await c.env.IDENTITY.getByName("default").appCredentials(user);
  const found = all.find((one) => one.id === id);
  if (found === undefined) throw missing(id);
  return c.json({ application_credential: view(c, found) });
}

/** The secret is in this answer, and never in another. Nobody makes one for somebody else. */
async function create(c: Context<AppEnv>): Promise<Response> {
  const said = await callerOf(c);
  const { application_credential: asked } = await jsonBody(c, created);
  unrestricted(said, "create_application_credential");
  if (said.user.id !== c.req.param("user")) throw denied("create_application_credential");
  if (said.project === null) throw forbidden("An application credential is made with a token of its project.");
  if (asked.expires_at !== null && asked.expires_at <= Date.now()) {
    throw badRequest("Invalid application credential: expires_at is in the past.");
  }
  const secret = asked.secret ?? randomSecret();
  const made = await c.env.IDENTITY.getByName("default").createAppCredential(said, {
    user_id: said.user.id,
    project_id: said.project.id,
    name: asked.name,
    description: asked.description ?? "",
    roles: (asked.roles ?? said.roles).map((wanted) => held(said, wanted)),
    expires_at: asked.expires_at,
    unrestricted: asked.unrestricted,
    secret: await hashPassword(secret),
  });
  if (made.ok) return c.json({ application_credential: { ...view(c, made.value), secret } }, 201);
  switch (made.error) {
    case "conflict":
      throw conflict(`Conflict: there is an application credential named ${asked.name}.`);
    case "too_many":
      throw forbidden("You have as many application credentials as you may.");
    case "unauthorized":
      throw new Fault(401, WRONG);
    default:
      throw new Error(made.error satisfies never);
  }
}

async function remove(c: Context<AppEnv>): Promise<Response> {
  const { user = "", id = "" } = c.req.param();
  const said = await permitted(c, "delete_application_credential", (caller) => caller.user.id === user);
  unrestricted(said, "delete_application_credential");
  if (!(await c.env.IDENTITY.getByName("default").removeAppCredential(user, id))) throw missing(id);
  revocationsOf(c.env).expire();
  return c.body(null, 204);
}

/** A key makes no keys, unless it was made for that. */
function unrestricted(said: TokenClaims, rule: string): void {
  if (said.app_credential?.restricted) throw denied(rule);
}

/** The role, which the token must have. */
function held(said: TokenClaims, wanted: z.infer<typeof role>): Named {
  const found = said.roles.find((one) => ("id" in wanted ? one.id === wanted.id : one.name === wanted.name));
  if (found) return found;
  throw badRequest("Invalid application credential: it asks for a role that you do not have on the project.");
}

function randomSecret(): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(SECRET_BYTES))).toString("base64url");
}

function missing(id: string): Fault {
  return notFound(`Could not find Application Credential: ${id.slice(0, 255)}.`);
}

function view(c: Context<AppEnv>, one: AppCredential): object {
  const { user_id, expires_at, roles, ...rest } = one;
  return {
    ...rest,
    roles: roles.map((each) => ({ ...each, domain_id: null })),
    // Keystone's times end in microseconds and name no zone.
    expires_at: expires_at === null ? null : new Date(expires_at).toISOString().replace("Z", "000"),
    links: { self: `${originOf(c)}/identity/v3/users/${user_id}/application_credentials/${one.id}` },
  };
}
