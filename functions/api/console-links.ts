/** /servers/{id}/console-links (ours): links to a screen that may be handed out, each with what it may do and until when. */
import type { Context } from "hono";
import type { ServerRecord } from "../conductor/record.ts";
import { bindingOf, type ScreenBinding, screenOf } from "../conductor/screen.ts";
import { type Link, stateOf } from "../console/link.ts";
import { hashPassword } from "../identity/password.ts";
import type { AppEnv } from "./app-env.ts";
import { viewerUrl } from "./consoles.ts";
import { conflict, instanceNotFound, notFound } from "./fault.ts";
import { operation, type Paths } from "./operation.ts";
import { type CreateConsoleLink, createConsoleLink } from "./schema/console-link.ts";
import { serverOf, serverRecord } from "./servers.ts";

const RULE = "edgenova:console-links";

export const consoleLinks: Paths = {
  "/servers/:id/console-links": {
    GET: operation({
      summary: "List the links to a server's screen, newest first",
      rule: `${RULE}:index`,
      role: "member",
      status: 200,
      answers: "console_links",
      run: list,
    }),
    POST: operation({
      summary: "Make a link to a server's screen that may be handed out; its URL is told this once",
      rule: `${RULE}:create`,
      role: "member",
      body: createConsoleLink,
      status: 201,
      answers: "console_link",
      run: (c, { body }) => create(c, body.console_link),
    }),
    DELETE: operation({
      summary: "Take back every link to a server's screen, and end what is open on them",
      rule: `${RULE}:delete`,
      role: "member",
      status: 204,
      run: async (c) => {
        const { uuid } = await serverRecord(c);
        await c.env.CONSOLE.getByName(uuid).revoke(null);
        return c.body(null, 204);
      },
    }),
  },
  "/servers/:id/console-links/:link": {
    GET: operation({
      summary: "Show a link to a server's screen, and who came by it",
      rule: `${RULE}:show`,
      role: "member",
      status: 200,
      answers: "console_link",
      run: show,
    }),
    DELETE: operation({
      summary: "Take back a link to a server's screen, and end what is open on it",
      rule: `${RULE}:delete`,
      role: "member",
      status: 204,
      run: async (c) => {
        const { uuid } = await serverRecord(c);
        if (!(await c.env.CONSOLE.getByName(uuid).revoke(idOf(c)))) throw linkNotFound(c);
        return c.body(null, 204);
      },
    }),
  },
};

/** A token of Nova's own call is a link too, and is listed as one. */
async function list(c: Context<AppEnv>): Promise<Response> {
  const record = await serverRecord(c);
  const links = await c.env.CONSOLE.getByName(record.uuid).links();
  const now = screenNow(record);
  return c.json({ console_links: links.map(({ link, in_use }) => view(link, in_use, now)) });
}

async function create(c: Context<AppEnv>, asked: CreateConsoleLink): Promise<Response> {
  const { id, stub } = serverOf(c);
  const { label, uses, addresses, ends_sessions, power, expires_in } = asked;
  const input = asked.rights === "control";
  const rights = { input, clipboard: asked.clipboard ?? input, power };
  // Hashing takes long: whose server it is not gets no such work out of us.
  await serverRecord(c);
  const pin = asked.pin === undefined ? null : await hashPassword(asked.pin);
  const order = { kind: "link" as const, terms: { label, rights, uses, addresses, ends_sessions }, pin, expires_in };
  const made = await stub.createLink(c.var.actor, order, viewerUrl(c));
  if (!made.ok) throw made.error.kind === "not_found" ? instanceNotFound(id) : conflict(made.error.message);
  const { link, url } = made.value;
  return c.json({ console_link: { ...view(link, 0, link.bound), url } }, 201);
}

async function show(c: Context<AppEnv>): Promise<Response> {
  const record = await serverRecord(c);
  const found = await c.env.CONSOLE.getByName(record.uuid).link(idOf(c));
  if (found === null) throw linkNotFound(c);
  const { link, sessions, in_use } = found;
  return c.json({ console_link: { ...view(link, in_use, screenNow(record)), sessions } });
}

/** The server's screen as it is; null when there is none. */
function screenNow(record: ServerRecord): ScreenBinding | null {
  const bound = bindingOf(record);
  return screenOf(record, bound, false).is === "here" ? bound : null;
}

function view(link: Link, in_use: number, now: ScreenBinding | null): object {
  const { id, terms, giver, used } = link;
  const { label, rights, uses, addresses, ends_sessions } = terms;
  const time = (at: number | null) => (at === null ? null : new Date(at).toISOString());
  return {
    id,
    label,
    rights: rights.input ? "control" : "view",
    clipboard: rights.clipboard,
    power: rights.power,
    expires_at: time(link.expires_at),
    uses,
    used,
    pin: link.pin !== null,
    addresses,
    ends_sessions,
    created_at: time(link.created_at),
    user_id: giver.user_id,
    user_name: giver.user_name,
    revoked_at: time(link.revoked_at),
    state: stateOf(link, now, Date.now()),
    in_use,
  };
}

const idOf = (c: Context<AppEnv>) => c.req.param("link") ?? "";
const linkNotFound = (c: Context<AppEnv>) => notFound(`Console link ${idOf(c).slice(0, 64)} could not be found.`);
