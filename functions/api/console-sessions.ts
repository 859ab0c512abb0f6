/** Who is on a server's screen, who was, and how it is shared (ours). */
import type { Context } from "hono";
import { config } from "../config.ts";
import type { SessionRecord } from "../console/session.ts";
import type { AppEnv } from "./app-env.ts";
import { badRequest, notFound } from "./fault.ts";
import { operation, type Paths } from "./operation.ts";
import { requireAdmin } from "./policy.ts";
import { nextLink } from "./resource.ts";
import { type ListConsoleSessions, listConsoleSessions, updateSharing } from "./schema/console-link.ts";
import { serverRecord } from "./servers.ts";

const RULE = "edgenova:console-sessions";

export const consoleSessions: Paths = {
  "/servers/:id/console-sessions": {
    GET: operation({
      summary: "List the sessions on a server's screen, newest first",
      rule: `${RULE}:index`,
      role: "member",
      status: 200,
      answers: "console_sessions",
      run: async (c) => {
        const { uuid } = await serverRecord(c);
        return c.json({ console_sessions: await c.env.CONSOLE.getByName(uuid).sessions() });
      },
    }),
  },
  "/servers/:id/console-sessions/:session": {
    DELETE: operation({
      summary: "End a session on a server's screen",
      rule: `${RULE}:delete`,
      role: "member",
      status: 204,
      run: async (c) => {
        const { uuid } = await serverRecord(c);
        const session = c.req.param("session") ?? "";
        if (await c.env.CONSOLE.getByName(uuid).kill(session)) return c.body(null, 204);
        throw notFound(`Console session ${session.slice(0, 64)} could not be found, or is over.`);
      },
    }),
  },
  "/servers/:id/console-sharing": {
    GET: operation({
      summary: "Show how a server's screen is shared",
      rule: "edgenova:console-sharing:show",
      role: "reader",
      status: 200,
      answers: "console_sharing",
      run: async (c) => {
        const { uuid } = await serverRecord(c);
        return c.json({ console_sharing: { sharing: await c.env.CONSOLE.getByName(uuid).sharing() } });
      },
    }),
    PUT: operation({
      summary: "Set how a server's screen is shared: all type, one at a time, or one person alone",
      rule: "edgenova:console-sharing:update",
      role: "member",
      body: updateSharing,
      status: 200,
      answers: "console_sharing",
      run: async (c, { body }) => {
        const { uuid } = await serverRecord(c);
        await c.env.CONSOLE.getByName(uuid).share(body.console_sharing.sharing);
        return c.json(body);
      },
    }),
  },
  "/os-console-sessions": {
    GET: operation({
      summary: "List console sessions of the project's servers, newest first; an admin may ask for every project's",
      rule: `${RULE}:list`,
      role: "member",
      query: listConsoleSessions,
      status: 200,
      answers: "console_sessions",
      run: (c, { query }) => list(c, query),
    }),
  },
};

async function list(c: Context<AppEnv>, asked: ListConsoleSessions): Promise<Response> {
  if (asked.all_tenants) requireAdmin(c, `${RULE}:list:all_tenants`);
  const ids = asked.all_tenants
    ? (await c.env.IDENTITY.getByName("default").projects()).map(({ id }) => id)
    : [c.var.actor.project_id];
  const projects = ids.map((id) => c.env.PROJECT.getByName(id));
  const marked = async (marker: string): Promise<SessionRecord> => {
    const found = (await Promise.all(projects.map((one) => one.consoleSession(marker)))).find((one) => one !== null);
    if (!found) throw badRequest(`marker [${marker}] not found`);
    return found;
  };
  const after = asked.marker === undefined ? undefined : await marked(asked.marker);
  const { MAX_LIMIT } = config(c.env);
  const limit = Math.min(asked.limit ?? MAX_LIMIT, MAX_LIMIT);
  const { server, open } = asked;
  const parts = await Promise.all(projects.map((one) => one.consoleSessions({ server, open, after, limit })));
  const page = parts
    .flat()
    .sort((a, b) => b.started_at.localeCompare(a.started_at) || a.id.localeCompare(b.id))
    .slice(0, limit);
  const last = page.length === limit ? page.at(-1) : undefined;
  const next = last ? { console_sessions_links: nextLink(c, "os-console-sessions", last.id) } : {};
  return c.json({ console_sessions: page, ...next });
}
