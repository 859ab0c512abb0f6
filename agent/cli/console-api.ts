/** The console calls of edgenova's compute API, as this command uses them. */
import { z } from "zod";
import { SHARING, type Sharing } from "../../functions/protocol/console.ts";
import { Failure } from "../failure.ts";
import type { CloudApi } from "./cloud-api.ts";

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

const text = z.string().max(4096);
const count = z.number().nonnegative();
const link = z.object({
  id: text,
  label: text,
  rights: z.enum(["view", "control"]),
  clipboard: z.boolean(),
  power: z.boolean(),
  expires_at: text,
  uses: count.nullable(),
  used: count,
  pin: z.boolean(),
  addresses: z.array(text),
  ends_sessions: z.boolean(),
  created_at: text,
  user_id: text.nullable(),
  user_name: text.nullable(),
  revoked_at: text.nullable(),
  state: z.enum(["active", "expired", "used_up", "revoked", "server_restarted"]),
  in_use: count,
});
const session = z.object({
  id: text,
  server_id: text,
  project_id: text,
  link_id: text.nullable(),
  label: text,
  user_id: text.nullable(),
  address: text.nullable(),
  started_at: text,
  ended_at: text.nullable(),
  open: z.boolean(),
  ended_by: text.nullable(),
  bytes_up: count,
  bytes_down: count,
  keys: count,
  pointers: count,
  cut_texts: count,
});
const newLink = link.extend({ url: z.url({ protocol: /^https?$/ }) });
const linkWithSessions = link.extend({ sessions: z.array(session) });
const sessions = z.object({
  console_sessions: z.array(session),
  console_sessions_links: z.array(z.object({ rel: text })).optional(),
});
const sharing = z.object({ console_sharing: z.object({ sharing: z.enum(SHARING) }) });
const server = z.object({ id: text, name: text });

export type Link = z.infer<typeof link>;
export type NewLink = z.infer<typeof newLink>;
export type Session = z.infer<typeof session>;
export type Server = z.infer<typeof server>;
/** What is left out is as the edge has it by default. */
export type LinkRequest = {
  rights: "view" | "control";
  clipboard?: boolean;
  power: boolean;
  /** Seconds. */
  expires_in?: number;
  uses?: number;
  pin?: string;
  addresses: string[];
  label?: string;
  ends_sessions: boolean;
};
export type SessionFilter = { allProjects: boolean; open: boolean; limit: number };

/** The server by id or name. Throws `Failure` when there is none, or more than one. */
export async function findServer(api: CloudApi, nameOrId: string): Promise<Server> {
  if (UUID.test(nameOrId)) {
    const found = await api.find(z.object({ server }), `/servers/${nameOrId}`);
    if (found !== null) return found.server;
  }
  // Nova reads the name as a regular expression.
  const query = new URLSearchParams({ name: `^${nameOrId.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&")}$` });
  const { servers } = await api.call(z.object({ servers: z.array(server) }), "GET", `/servers?${query}`);
  return only(servers, "server", nameOrId, ({ name }) => name === nameOrId);
}

export async function createLink(api: CloudApi, { id }: Server, console_link: LinkRequest): Promise<NewLink> {
  const answer = z.object({ console_link: newLink });
  return (await api.call(answer, "POST", `/servers/${id}/console-links`, { console_link })).console_link;
}

export async function listLinks(api: CloudApi, { id }: Server): Promise<Link[]> {
  const answer = z.object({ console_links: z.array(link) });
  return (await api.call(answer, "GET", `/servers/${id}/console-links`)).console_links;
}

/** One of `links` by its id, or by a label that is one active link's alone, or one past link's. Throws `Failure`. */
export function pickLink<T extends Pick<Link, "id" | "label" | "state">>(links: readonly T[], idOrLabel: string): T {
  // A label is often given again after a link has ended.
  const active = links.filter(
    ({ id, label, state }) => id === idOrLabel || (label === idOrLabel && state === "active"),
  );
  return pick(active.length > 0 ? active : links, "link", idOrLabel);
}

/** One of `sessions` by its id, or by its link's label. Throws `Failure`. */
export function pickSession<T extends Pick<Session, "id" | "label">>(sessions: readonly T[], idOrLabel: string): T {
  return pick(sessions, "session", idOrLabel);
}

export async function showLink(api: CloudApi, server: Server, { id }: Link): Promise<z.infer<typeof linkWithSessions>> {
  const answer = z.object({ console_link: linkWithSessions });
  return (await api.call(answer, "GET", `/servers/${server.id}/console-links/${encodeURIComponent(id)}`)).console_link;
}

/** The links named; all of the server's when none is. */
export async function revokeLinks(api: CloudApi, server: Server, links: readonly Link[] | "all"): Promise<void> {
  const path = `/servers/${server.id}/console-links`;
  if (links === "all") return api.delete(path);
  for (const { id } of links) await api.delete(`${path}/${encodeURIComponent(id)}`);
}

export async function listSessions(api: CloudApi, { id }: Server): Promise<Session[]> {
  return (await api.call(sessions, "GET", `/servers/${id}/console-sessions`)).console_sessions;
}

/** Sessions on all servers, and whether there are more than the filter lets through. */
export async function listAllSessions(
  api: CloudApi,
  { allProjects, open, limit }: SessionFilter,
): Promise<{ sessions: Session[]; more: boolean }> {
  const query = new URLSearchParams({ limit: String(limit) });
  if (allProjects) query.set("all_tenants", "1");
  if (open) query.set("open", "1");
  const answer = await api.call(sessions, "GET", `/os-console-sessions?${query}`);
  const more = answer.console_sessions_links?.some(({ rel }) => rel === "next") ?? false;
  return { sessions: answer.console_sessions, more };
}

export function endSession(api: CloudApi, server: Server, { id }: Session): Promise<void> {
  return api.delete(`/servers/${server.id}/console-sessions/${encodeURIComponent(id)}`);
}

export async function share(api: CloudApi, { id }: Server, how: Sharing): Promise<Sharing> {
  const body = { console_sharing: { sharing: how } };
  return (await api.call(sharing, "PUT", `/servers/${id}/console-sharing`, body)).console_sharing.sharing;
}

function pick<T extends { id: string; label: string }>(all: readonly T[], what: string, idOrLabel: string): T {
  const byId = all.find(({ id }) => id === idOrLabel);
  return byId ?? only(all, what, idOrLabel, ({ label }) => label === idOrLabel);
}

function only<T extends { id: string }>(all: readonly T[], what: string, asked: string, is: (one: T) => boolean): T {
  const [first, ...more] = all.filter(is);
  if (first === undefined) throw new Failure(`there is no ${what} "${asked}": look for its name or id in the list`);
  if (more.length > 0) {
    const ids = [first, ...more].map(({ id }) => id).join(", ");
    throw new Failure(`${more.length + 1} ${what}s are called "${asked}": name one by its id (${ids})`);
  }
  return first;
}
