/** /console/v1: how a viewer page opens a session, goes on with it, and starts or stops its server. */
import { type Context, Hono } from "hono";
import type { z } from "zod";
import type { AppEnv } from "../api/app-env.ts";
import { resource } from "../api/resource.ts";
import { jsonBody } from "../api/validate.ts";
import { config } from "../config.ts";
import { verifyPassword } from "../identity/password.ts";
import { causeOf, log } from "../log.ts";
import { type OpenedSession, openSession, powerSession, resumeSession } from "../protocol/console-session.ts";
import type { Offer } from "./console.ts";
import { type Refused, refusedBecause } from "./link.ts";
import { consoleAuthOf, tokenHash } from "./mint.ts";
import { originAllowed } from "./origin.ts";
import { refusalBody, statusOf } from "./refusal.ts";
import { readTicket, signTicket } from "./ticket.ts";
import { mayGuess, REFUSAL_MS, UUID } from "./upgrade.ts";

/** How long a page has for its WebSocket after it was let in. */
const TICKET_SECONDS = 30;

type Answer = Response | Refused | { refused: Refused; message: string };

export function sessionRoutes(): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  resource(app, "/sessions", { POST: (c) => answered(c, openSession, open) });
  resource(app, "/sessions/resume", { POST: (c) => answered(c, resumeSession, resume) });
  resource(app, "/sessions/power", { POST: (c) => answered(c, powerSession, power) });
  return app;
}

/** Answers no sooner than REFUSAL_MS when it refuses, whatever it is that was wrong. */
async function answered<T>(
  c: Context<AppEnv>,
  schema: z.ZodType<T>,
  run: (c: Context<AppEnv>, asked: T) => Promise<Answer>,
): Promise<Response> {
  const slowly = scheduler.wait(REFUSAL_MS);
  const asked = await jsonBody(c, schema);
  const answer = await admitted(c, () => run(c, asked)).catch((error): Answer => {
    log("console.failed", { request: c.var.requestId, cause: causeOf(error) });
    return refusedBecause("failed");
  });
  if (answer instanceof Response) return answer;
  const { refused, message } = "refused" in answer ? answer : { refused: answer, message: undefined };
  log("console.refused", { why: refused.why });
  await slowly;
  return c.json(refusalBody(refused, message), statusOf(refused.why), { "cache-control": "no-store" });
}

async function admitted(c: Context<AppEnv>, run: () => Promise<Answer>): Promise<Answer> {
  if (!originAllowed(c.req.header("origin") ?? null, new URL(c.req.url), config(c.env)))
    return refusedBecause("origin");
  return run();
}

async function open(c: Context<AppEnv>, { token, pin, attempt }: z.infer<typeof openSession>): Promise<Answer> {
  // Keys and tickets are signed: a guess at those is turned away without a count.
  if (!(await mayGuess(c.env, addressOf(c)))) return refusedBecause("too_many_requests");
  if (!UUID.test(token)) return refusedBecause("unknown");
  const hash = await tokenHash(token);
  const server = await consoleAuthOf(c.env, hash).serverOf(hash);
  if (server === null) return refusedBecause("unknown");
  const console = c.env.CONSOLE.getByName(server);
  const entry = { hash, attempt: attempt ?? null, address: addressOf(c) };
  let opened = await console.open({ ...entry, pin: pin === undefined ? "none" : "given" });
  if (opened.ok && "stored" in opened.value) {
    if (!(await verifyPassword(opened.value.stored, pin ?? ""))) return refusedBecause("pin_wrong");
    opened = await console.open({ ...entry, pin: "proved" });
  }
  if (!opened.ok) return opened.error;
  return "stored" in opened.value ? refusedBecause("failed") : offered(c, opened.value, 201);
}

async function resume(c: Context<AppEnv>, { key }: z.infer<typeof resumeSession>): Promise<Answer> {
  const ticket = await readTicket(c.env, "resume", key);
  if (ticket === null) return refusedBecause("unknown");
  const offer = await c.env.CONSOLE.getByName(ticket.server).resume(ticket);
  return offer.ok ? offered(c, offer.value, 200) : offer.error;
}

async function power(c: Context<AppEnv>, asked: z.infer<typeof powerSession>): Promise<Answer> {
  const ticket = await readTicket(c.env, "resume", asked.key);
  if (ticket === null) return refusedBecause("unknown");
  const done = await c.env.CONSOLE.getByName(ticket.server).power(ticket, asked.do);
  if (done.ok) return c.body(null, 204);
  if ("why" in done.error) return done.error;
  return { refused: refusedBecause("failed"), message: done.error.message };
}

async function offered(c: Context<AppEnv>, { shown, ends_at, ...ticket }: Offer, status: 200 | 201): Promise<Response> {
  const [key, screen] = await Promise.all([
    signTicket(c.env, "resume", ticket, keySeconds(c, ends_at)),
    signTicket(c.env, "screen", ticket, TICKET_SECONDS),
  ]);
  const session = { ...shown, ends_at: ends_at === null ? null : new Date(ends_at).toISOString() };
  return c.json({ session, key, ticket: screen } satisfies OpenedSession, status, { "cache-control": "no-store" });
}

/**
 * A key outlives its connection by the time that a session may be resumed in, and a connection may last: the session's
 * own row says when it is over.
 */
function keySeconds(c: Context<AppEnv>, ends_at: number | null): number {
  if (ends_at !== null) return Math.max(1, (ends_at - Date.now()) / 1000);
  return config(c.env).CONSOLE_RECORD_RETENTION + config(c.env).CONSOLE_RESUME_TTL;
}

const addressOf = (c: Context<AppEnv>) => c.req.header("cf-connecting-ip") ?? "unknown";
