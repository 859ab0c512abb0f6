/** /v3/auth: how a caller gets a token, asks what one says and gives it up. */
import type { Context, Hono } from "hono";
import { z } from "zod";
import type { AppEnv } from "../api/app-env.ts";
import { Fault, notFound } from "../api/fault.ts";
import { originOf, resource } from "../api/resource.ts";
import { jsonBody } from "../api/validate.ts";
import { addressOf } from "./address.ts";
import type { Named } from "./directory.ts";
import { projectView } from "./entity-views.ts";
import type { Scope } from "./identity.ts";
import { limitAddress, matchPassword, matchSecret } from "./match-password.ts";
import { revocationsOf } from "./revocation-cache.ts";
import { DEFAULT_DOMAIN } from "./tables.ts";
import { type Grant, issueToken, type TokenClaims } from "./token.ts";
import { catalog, tokenBody } from "./token-body.ts";
import { callerOf, isAdmin, validToken, WRONG } from "./valid-token.ts";

const short = z.string().max(255);
const domain = z.object({ id: short.optional(), name: short.optional() });
const reference = z.object({ id: short.optional(), name: short.optional(), domain: domain.optional() });
const auth = z.object({
  auth: z.object({
    identity: z.object({
      methods: z.array(short).min(1).max(8),
      password: z.object({ user: reference.extend({ password: z.string().max(4096) }) }).optional(),
      token: z.object({ id: z.string().max(8192) }).optional(),
      application_credential: reference
        .omit({ domain: true })
        .extend({ user: reference.optional(), secret: z.string().max(4096) })
        .optional(),
    }),
    scope: z
      .union([
        z.object({ project: reference }),
        z.literal("unscoped"),
        z.object({ unscoped: z.object({}) }),
        // There are no roles on a domain or on the system here.
        z.object({ domain }),
        z.object({ system: z.object({ all: z.boolean() }) }),
      ])
      .optional(),
  }),
});
type Auth = z.infer<typeof auth>["auth"];
type Granted = { grant: Grant; methods: string[]; exp?: number };

/** Each way in, by Keystone's name for it. */
const METHODS: Record<string, (c: Context<AppEnv>, asked: Auth) => Promise<Granted>> = {
  password: byPassword,
  token: byToken,
  application_credential: byAppCredential,
};

export function authRoutes(app: Hono<AppEnv>): void {
  resource(app, "/v3/auth/tokens", { POST: login, GET: validate, DELETE: revoke });
  resource(app, "/v3/auth/projects", { GET: projects });
  resource(app, "/v3/auth/catalog", { GET: showCatalog });
}

/** POST /v3/auth/tokens. Every way to be wrong reads the same. */
async function login(c: Context<AppEnv>): Promise<Response> {
  await limitAddress(c);
  const asked = (await jsonBody(c, auth)).auth;
  const [method, ...more] = asked.identity.methods;
  const way = method !== undefined && more.length === 0 && Object.hasOwn(METHODS, method) ? METHODS[method] : undefined;
  if (way === undefined) throw new Fault(401, WRONG);
  const { grant, ...terms } = await way(c, asked);
  const { token, claims } = await issueToken(c.env, grant, terms);
  return c.json(tokenBody(c, claims), 201, { "X-Subject-Token": token });
}

async function byPassword(c: Context<AppEnv>, { identity, scope }: Auth): Promise<Granted> {
  const user = identity.password?.user;
  if (user === undefined || (user.domain && !isDefault(user.domain))) throw new Fault(401, WRONG);
  const wanted = scopeOf(scope);
  const proof = await matchPassword(c, named(user), user.password);
  const granted = await c.env.IDENTITY.getByName("default").loggedIn(proof, wanted, addressOf(c));
  if (!granted.ok) throw new Fault(401, WRONG);
  return { grant: granted.value, methods: ["password"] };
}

/** Another scope for who holds a token. It ends when the first does. */
async function byToken(c: Context<AppEnv>, { identity, scope }: Auth): Promise<Granted> {
  const said = await validToken(c, identity.token?.id ?? "");
  if (said === null) throw new Fault(401, WRONG);
  const granted = await c.env.IDENTITY.getByName("default").rescope(said, scopeOf(scope));
  if (!granted.ok) throw new Fault(401, WRONG);
  return { grant: granted.value, methods: [...new Set(["token", ...said.methods])], exp: said.exp };
}

/** A key to one project: it cannot ask for another. */
async function byAppCredential(c: Context<AppEnv>, { identity, scope }: Auth): Promise<Granted> {
  const { id, name, user, secret } = identity.application_credential ?? {};
  if (secret === undefined || scope !== undefined) throw new Fault(401, WRONG);
  if (user?.domain && !isDefault(user.domain)) throw new Fault(401, WRONG);
  const login = id !== undefined ? { id } : { name: name ?? "", user: named(user ?? {}) };
  const matched = await matchSecret(c, login, secret);
  const granted = await c.env.IDENTITY.getByName("default").appLoggedIn(matched, addressOf(c));
  if (!granted.ok) throw new Fault(401, WRONG);
  const { grant, until } = granted.value;
  return { grant, methods: ["application_credential"], ...(until === null ? {} : { exp: until }) };
}

/** GET /v3/auth/tokens: what a token says, for who holds one. */
async function validate(c: Context<AppEnv>): Promise<Response> {
  const { subject, said } = await subjectOf(c);
  return c.json(tokenBody(c, said), 200, { "X-Subject-Token": subject });
}

/** DELETE /v3/auth/tokens: here at once, elsewhere within seconds (revocation-cache.ts). */
async function revoke(c: Context<AppEnv>): Promise<Response> {
  const { said } = await subjectOf(c);
  await c.env.IDENTITY.getByName("default").revoke({ jti: said.jti });
  revocationsOf(c.env).expire();
  return c.body(null, 204);
}

async function subjectOf(c: Context<AppEnv>): Promise<{ subject: string; said: TokenClaims }> {
  const mine = await callerOf(c);
  const subject = c.req.header("x-subject-token") ?? "";
  const said = await validToken(c, subject);
  if (said === null || (said.user.id !== mine.user.id && !isAdmin(mine))) throw notFound("Could not find token.");
  return { subject, said };
}

/** GET /v3/auth/projects: what the caller can have a token for. */
async function projects(c: Context<AppEnv>): Promise<Response> {
  const { user } = await callerOf(c);
  const all = await c.env.IDENTITY.getByName("default").projectsOf(user.id);
  const shown = all.filter(({ enabled }) => enabled).map((project) => projectView(c, project));
  const links = { self: `${originOf(c)}/identity/v3/auth/projects`, previous: null, next: null };
  return c.json({ projects: shown, links });
}

async function showCatalog(c: Context<AppEnv>): Promise<Response> {
  const said = await callerOf(c);
  if (said.project === null) throw new Fault(403, "An unscoped token has no catalog.");
  return c.json({ catalog: catalog(c), links: { self: `${originOf(c)}/identity/v3/auth/catalog` } });
}

function scopeOf(scope: Auth["scope"]): Scope {
  if (scope === undefined) return "default";
  if (scope === "unscoped" || "unscoped" in scope) return null;
  if (!("project" in scope)) throw new Fault(401, WRONG);
  if (scope.project.domain && !isDefault(scope.project.domain)) throw new Fault(401, WRONG);
  return named(scope.project);
}

function isDefault(given: z.infer<typeof domain>): boolean {
  return given.id === DEFAULT_DOMAIN.id || given.name?.toLowerCase() === DEFAULT_DOMAIN.name.toLowerCase();
}

function named(given: { id?: string | undefined; name?: string | undefined }): Partial<Named> {
  if (given.id !== undefined) return { id: given.id };
  return given.name === undefined ? {} : { name: given.name };
}
