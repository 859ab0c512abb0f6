/** /agent/v1: what the agents on the compute hosts call, and how an operator lets one in. */
import { type Context, Hono } from "hono";
import { decodeJwt, importJWK, jwtVerify } from "jose";
import { z } from "zod";
import type { AppEnv } from "../api/app-env.ts";
import { Fault, notFound } from "../api/fault.ts";
import { authenticated, requireAdmin } from "../api/policy.ts";
import { resource } from "../api/resource.ts";
import { jsonBody } from "../api/validate.ts";
import { tokenHash } from "../console/mint.ts";
import { LEG_HEADER, SESSION_HEADER, SIDE_HEADER } from "../console/sides.ts";
import { readTicket } from "../console/ticket.ts";
import { endUpload, putPart, uploadState } from "../image/agent-upload.ts";
import { imageBytes } from "../image/bytes.ts";
import { MOVE_SIDE_HEADER, MOVE_STREAM_HEADER, moveStream } from "../move/sides.ts";
import { readMoveTicket } from "../move/ticket.ts";

/** A host's name: what DNS allows. It names the `Host` object. */
const hostName = z
  .string()
  .max(253)
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, "A host name has letters, digits, '.', '_' and '-'.");

const newJoinToken = z.strictObject({
  host: hostName.optional(),
  /** Seconds. */
  ttl: z
    .int()
    .min(60)
    .max(7 * 24 * 3600)
    .default(3600),
});

const enrolment = z.strictObject({
  join_token: z.string().max(255),
  host: hostName,
  public_key: z.strictObject({
    kty: z.literal("OKP"),
    crv: z.literal("Ed25519"),
    x: z.base64url().length(43),
  }),
});

/** Clocks of hypervisors drift; a signed dial is good for this much longer than it says, seconds. */
const CLOCK_TOLERANCE = 60;
const AUDIENCE = "edgenova-agent";

export function agentRoutes(): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  app.use("/join-tokens", authenticated);
  resource(app, "/join-tokens", { POST: createJoinToken });
  resource(app, "/enroll", { POST: enroll });
  // What a host asks to know whether its key is accepted.
  resource(app, "/whoami", { GET: async (c) => c.json({ host: await hostOf(c) }) });
  resource(app, "/link", { GET: link });
  resource(app, "/console/:console", { GET: joinConsole });
  resource(app, "/moves/:migration/:stream", { GET: joinMove });
  resource(app, "/images/:id", { GET: image });
  resource(app, "/images/:id/file", {
    GET: async (c) => uploadState(c, await hostOf(c)),
    POST: async (c) => endUpload(c, await hostOf(c)),
  });
  resource(app, "/images/:id/file/:part", { PUT: async (c) => putPart(c, await hostOf(c)) });
  return app;
}

async function createJoinToken(c: Context<AppEnv>): Promise<Response> {
  requireAdmin(c, "edgenova:agents:invite");
  const { host, ttl } = await jsonBody(c, newJoinToken);
  const join_token = crypto.randomUUID();
  const expires_at = Date.now() + ttl * 1000;
  await c.env.IDENTITY.getByName("default").addJoinToken(await tokenHash(join_token), host ?? null, expires_at);
  return c.json({ join_token, host: host ?? null, expires_at: new Date(expires_at).toISOString() }, 201);
}

async function enroll(c: Context<AppEnv>): Promise<Response> {
  await limit(c);
  const { join_token, host, public_key } = await jsonBody(c, enrolment);
  const done = await c.env.IDENTITY.getByName("default").enrol({
    join_token_hash: await tokenHash(join_token),
    host,
    public_key: JSON.stringify(public_key),
  });
  if (done.ok) {
    await c.env.HOST.getByName(host).enrolled();
    return c.json({ host }, 201);
  }
  switch (done.error) {
    case "bad_token":
      throw new Fault(401, "The join token is wrong or has expired. Ask an administrator for a new one.");
    case "other_host":
      throw new Fault(403, "The join token is for another host.");
    case "spent":
      throw new Fault(409, "The join token was used before. Ask an administrator for a new one.");
    default:
      throw done.error satisfies never;
  }
}

/** The control link: only the holder of the host's key reaches its `Host`. */
async function link(c: Context<AppEnv>): Promise<Response> {
  requireUpgrade(c);
  const host = await hostOf(c);
  return c.env.HOST.getByName(host).fetch(c.req.url, { headers: { upgrade: "websocket" } });
}

/** The agent's half of one console session. */
async function joinConsole(c: Context<AppEnv>): Promise<Response> {
  requireUpgrade(c);
  const ticket = await readTicket(c.env, "agent", bearer(c));
  if (ticket === null || ticket.server !== c.req.param("console")) throw unauthorized();
  const { server, session, leg } = ticket;
  const side = { [SIDE_HEADER]: "agent", [SESSION_HEADER]: session, [LEG_HEADER]: String(leg) };
  const joined = await c.env.CONSOLE.getByName(server).fetch(c.req.url, { headers: { upgrade: "websocket", ...side } });
  if (joined.status !== 101) throw new Fault(410, "The console session is over.");
  return joined;
}

/** One end of one stream between two hosts. */
async function joinMove(c: Context<AppEnv>): Promise<Response> {
  requireUpgrade(c);
  const ticket = await readMoveTicket(c.env, bearer(c));
  const stream = moveStream(c.req.param("stream") ?? "");
  if (ticket === null || stream === null || ticket.migration !== c.req.param("migration")) throw unauthorized();
  const end = { [MOVE_SIDE_HEADER]: ticket.side, [MOVE_STREAM_HEADER]: String(stream) };
  const headers = { upgrade: "websocket", ...end };
  const joined = await c.env.MOVE.getByName(ticket.migration).fetch(c.req.url, { headers });
  if (joined.status !== 101) throw new Fault(410, "The move is over.");
  return joined;
}

async function image(c: Context<AppEnv>): Promise<Response> {
  await hostOf(c);
  const id = c.req.param("id") ?? "";
  const found = await c.env.IMAGES.getByName("default").get(id);
  if (found?.status !== "active") throw notFound(`Image ${id.slice(0, 64)} could not be found.`);
  return imageBytes(c.env, found, c.req.header("range"));
}

/** The host that signed the bearer; 401 for everything else, in the same words. */
async function hostOf(c: Context<AppEnv>): Promise<string> {
  await limit(c);
  const assertion = bearer(c);
  const host = issuerOf(assertion);
  // What fails here is the edge's fault, and no word about the agent.
  const key = host === null ? null : await c.env.HOST.getByName(host).agentKey();
  if (host === null || key === null) throw unauthorized();
  try {
    await jwtVerify(assertion, await importJWK(JSON.parse(key), "EdDSA"), {
      issuer: host,
      audience: AUDIENCE,
      algorithms: ["EdDSA"],
      clockTolerance: CLOCK_TOLERANCE,
      maxTokenAge: 300,
      requiredClaims: ["exp"],
    });
    return host;
  } catch {
    throw unauthorized();
  }
}

/** The host that an assertion names, unproved; null when it is none. */
function issuerOf(assertion: string): string | null {
  try {
    return hostName.parse(decodeJwt(assertion).iss);
  } catch {
    return null;
  }
}

/** Turns away a flood from one address before it wakes the object that knows the keys. */
async function limit(c: Context<AppEnv>): Promise<void> {
  const key = `agent ${c.req.header("cf-connecting-ip") ?? "unknown"}`;
  if ((await c.env.AGENT_RATE.limit({ key })).success) return;
  throw new Fault(429, "Too many requests from your address. Try again in a minute.", { "Retry-After": "60" });
}

function requireUpgrade(c: Context<AppEnv>): void {
  if (c.req.header("upgrade")?.toLowerCase() === "websocket") return;
  throw new Fault(426, "This address speaks WebSocket.", { Upgrade: "websocket" });
}

const bearer = (c: Context<AppEnv>) => /^Bearer (.{1,4096})$/.exec(c.req.header("authorization") ?? "")?.[1] ?? "";

const unauthorized = () => new Fault(401, "The agent's credentials were not accepted.");
