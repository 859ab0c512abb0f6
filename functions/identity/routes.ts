/** /identity/v3: tokens, the catalog and the version documents, as clients of Keystone ask for them. */
import { type Context, Hono } from "hono";
import { z } from "zod";
import type { AppEnv } from "../api/app-env.ts";
import { Fault, notFound } from "../api/fault.ts";
import { originOf, resource } from "../api/resource.ts";
import { jsonBody } from "../api/validate.ts";
import { config } from "../config.ts";
import { DEFAULT_DOMAIN } from "./identity.ts";
import { issueToken, readToken, type TokenClaims } from "./token.ts";

const short = z.string().max(255);
const domain = z.object({ id: short.optional(), name: short.optional() });
const auth = z.object({
  auth: z.object({
    identity: z.object({
      methods: z.array(short).min(1).max(8),
      password: z
        .object({
          user: z.object({
            id: short.optional(),
            name: short.optional(),
            domain: domain.optional(),
            password: z.string().max(4096),
          }),
        })
        .optional(),
    }),
    scope: z
      .union([
        z.object({
          project: z.object({ id: short.optional(), name: short.optional(), domain: domain.optional() }),
        }),
        z.literal("unscoped"),
        z.object({ unscoped: z.object({}) }),
      ])
      .optional(),
  }),
});

const WRONG = "The request you have made requires authentication.";

export function identityRoutes(): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  app.get("/", (c) => c.json({ versions: { values: [version(c)] } }, 300));
  app.get("/v3", (c) => c.json({ version: version(c) }));
  resource(app, "/v3/auth/tokens", { POST: login, GET: validate });
  return app;
}

function version(c: Context): object {
  return {
    id: "v3.14",
    status: "stable",
    updated: "2020-04-07T00:00:00Z",
    links: [{ rel: "self", href: `${originOf(c)}/identity/v3/` }],
    "media-types": [{ base: "application/json", type: "application/vnd.openstack.identity-v3+json" }],
  };
}

/** POST /v3/auth/tokens: a password. Every way to be wrong reads the same. */
async function login(c: Context<AppEnv>): Promise<Response> {
  const address = c.req.header("cf-connecting-ip") ?? "unknown";
  if (!(await c.env.AUTH_RATE.limit({ key: address })).success) {
    throw new Fault(429, "Too many log-ins from your address. Try again in a minute.", { "Retry-After": "60" });
  }
  const { identity, scope } = (await jsonBody(c, auth)).auth;
  const project = typeof scope === "object" && "project" in scope ? scope.project : null;
  if (project?.domain && !isDefault(project.domain)) throw new Fault(401, WRONG);
  const password = identity.password?.user;
  if (!identity.methods.includes("password") || password === undefined) throw new Fault(401, WRONG);
  if (password.domain && !isDefault(password.domain)) throw new Fault(401, WRONG);
  const who = await c.env.IDENTITY.getByName("default").authenticate({
    user: named(password),
    password: password.password,
    scope: project && named(project),
  });
  if (!who.ok) throw new Fault(401, WRONG);
  const { token, claims } = await issueToken(c.env, { ...who.value, method: "password" });
  return c.json(tokenBody(c, claims), 201, { "X-Subject-Token": token });
}

/** GET /v3/auth/tokens: what a token says, for who holds one. */
async function validate(c: Context<AppEnv>): Promise<Response> {
  const mine = await readToken(c.env, c.req.header("x-auth-token") ?? "");
  if (mine === null) throw new Fault(401, WRONG);
  const subject = c.req.header("x-subject-token") ?? "";
  const said = await readToken(c.env, subject);
  const readable = said !== null && (said.user.id === mine.user.id || mine.roles.some((role) => role.name === "admin"));
  if (!readable) throw notFound("Could not find token.");
  return c.json(tokenBody(c, said), 200, { "X-Subject-Token": subject });
}

function tokenBody(c: Context<AppEnv>, said: TokenClaims): object {
  const scoped = said.project && {
    project: { ...said.project, domain: DEFAULT_DOMAIN },
    roles: said.roles,
    is_domain: false,
    catalog: catalog(c),
  };
  return {
    token: {
      methods: [said.method],
      user: { ...said.user, domain: DEFAULT_DOMAIN, password_expires_at: null },
      audit_ids: [said.jti],
      issued_at: new Date(said.iat * 1000).toISOString(),
      expires_at: new Date(said.exp * 1000).toISOString(),
      ...scoped,
    },
  };
}

function catalog(c: Context<AppEnv>): object[] {
  const services = [
    { type: "identity", name: "keystone", path: "/identity/v3" },
    { type: "compute", name: "nova", path: "/compute/v2.1" },
    { type: "image", name: "glance", path: "/image" },
  ];
  const region = config(c.env).REGION_NAME;
  return services.map(({ type, name, path }) => ({
    id: type,
    type,
    name,
    endpoints: ["public", "internal", "admin"].map((kind) => ({
      id: `${type}-${kind}`,
      interface: kind,
      region,
      region_id: region,
      url: `${originOf(c)}${path}`,
    })),
  }));
}

function isDefault(given: z.infer<typeof domain>): boolean {
  return given.id === DEFAULT_DOMAIN.id || given.name?.toLowerCase() === DEFAULT_DOMAIN.name.toLowerCase();
}

function named(given: { id?: string | undefined; name?: string | undefined }): { id?: string; name?: string } {
  if (given.id !== undefined) return { id: given.id };
  return given.name === undefined ? {} : { name: given.name };
}
