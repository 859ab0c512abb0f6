/** Console links and sessions as a person reads them. */
import type { Link, NewLink, Server, Session } from "./console-api.ts";
import { facts, moment, relative, size, span, table } from "./readable.ts";

/** The URL stands alone on the first line, to be copied. `pin`: the digits, where there are any. */
export function newLinkText(server: Server, link: NewLink, pin: string | undefined, nowMs: number): string {
  const told = pin === undefined ? "none" : `${pin} (tell it by another way than the link)`;
  const rows = linkFacts(server, link, nowMs).map(([name, value]) => [name, name === "PIN" ? told : value] as const);
  const revoke = `npx edgenova link revoke ${server.id} ${link.id}`;
  return `${link.url}\n${facts([...rows, ["Revoke", revoke]])}`;
}

export function linkText(server: Server, link: Link, sessions: readonly Session[], nowMs: number): string {
  const more = [
    ["State", stateText(link)],
    ["Used", `${usedText(link)}, open now: ${link.in_use}`],
    ["Made", `${moment(link.created_at, nowMs)}${link.user_name === null ? "" : ` by ${link.user_name}`}`],
    ...(link.revoked_at === null ? [] : [["Revoked", moment(link.revoked_at, nowMs)] as const]),
  ] as const;
  const seen = sessions.length === 0 ? "Nobody has used it.\n" : sessionTable(sessions, nowMs);
  return `${facts([...linkFacts(server, link, nowMs), ...more])}\n${seen}`;
}

export function linkTable(links: readonly Link[], nowMs: number): string {
  if (links.length === 0) return "There are no links to this server's console.\n";
  const rows = links.map((link) => [
    link.id,
    link.label || "-",
    rightsText(link),
    stateText(link),
    relative(link.expires_at, nowMs),
    usedText(link),
    String(link.in_use),
  ]);
  return table([["LINK", "LABEL", "RIGHTS", "STATE", "ENDS", "USED", "OPEN"], ...rows]);
}

/** `servers`: with a column for the server, where the list is of several. */
export function sessionTable(sessions: readonly Session[], nowMs: number, servers = false): string {
  if (sessions.length === 0) return "There are no console sessions.\n";
  const where = (cell: string) => (servers ? [cell] : []);
  const rows = sessions.map((one) => [
    one.id,
    ...where(one.server_id),
    one.label || one.user_id || "-",
    one.address ?? "-",
    relative(one.started_at, nowMs),
    lasted(one, nowMs),
    one.open ? "open" : endText(one.ended_by),
    String(one.keys),
    size(one.bytes_up),
    size(one.bytes_down),
  ]);
  const heads = [
    "SESSION",
    ...where("SERVER"),
    "WHO",
    "FROM",
    "STARTED",
    "LASTED",
    "STATE",
    "KEYS",
    "SENT",
    "RECEIVED",
  ];
  return table([heads, ...rows]);
}

function linkFacts(server: Server, link: Link, nowMs: number): (readonly [string, string])[] {
  const after = link.ends_sessions ? "open sessions end with it" : "open sessions go on";
  return [
    ["Server", server.name],
    ["Link", link.id],
    ["Label", link.label || "-"],
    ["Rights", rightsText(link)],
    ["Ends", `${moment(link.expires_at, nowMs)}; ${after}`],
    ["Uses", link.uses === null ? "any number until it ends" : String(link.uses)],
    ["PIN", link.pin ? "needed" : "none"],
    ["From", link.addresses.length === 0 ? "any address" : link.addresses.join(", ")],
  ];
}

function rightsText({ rights, clipboard, power }: Link): string {
  return [rights, ...(clipboard ? ["clipboard"] : []), ...(power ? ["power"] : [])].join(", ");
}

const stateText = ({ state }: Link) => state.replaceAll("_", " ");
const usedText = ({ used, uses }: Link) => (uses === null ? String(used) : `${used} of ${uses}`);

function lasted({ started_at, ended_at }: Session, nowMs: number): string {
  const seconds = ((ended_at === null ? nowMs : Date.parse(ended_at)) - Date.parse(started_at)) / 1000;
  return Number.isFinite(seconds) ? span(Math.max(0, seconds)) : "-";
}

const endText = (why: string | null) => why?.replaceAll("_", " ") || "ended";
