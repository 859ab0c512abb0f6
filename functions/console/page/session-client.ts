/** The calls to the edge: a session for a token, the same session again for a key, and the server's power. */
import type { OpenedSession, PowerOrder, RefusedSession } from "../../protocol/console-session.ts";
import type { Trouble } from "./trouble.ts";

export type Entry = { opened: OpenedSession } | { trouble: Trouble };

const PATH = "/console/v1/sessions";
const UNREACHABLE: { trouble: Trouble } = { trouble: { kind: "unreachable" } };

/** The screen's WebSocket, on the page's own origin. */
export function screenUrl(page: { protocol: string; host: string }, ticket: string): string {
  const scheme = page.protocol === "https:" ? "wss:" : "ws:";
  return `${scheme}//${page.host}/console/v1/screen?ticket=${encodeURIComponent(ticket)}`;
}

/** Opens a session by a link's token. Who is refused has no key, and so cannot do by it what the link would let them. */
export async function open(token: string, pin: string | null, signal: AbortSignal): Promise<Entry> {
  const entry = await enter(PATH, pin === null ? { token } : { token, pin }, signal);
  if (!("trouble" in entry) || entry.trouble.kind !== "refused") return entry;
  return { trouble: { kind: "refused", refusal: { ...entry.trouble.refusal, power: false } } };
}

/** The session that `key` is of, as it is now. */
export function resume(key: string, signal: AbortSignal): Promise<Entry> {
  return enter(`${PATH}/resume`, { key }, signal);
}

/** Gives an order to the server; null when it was taken. */
export async function order(key: string, what: PowerOrder): Promise<Trouble | null> {
  const answer = await post(`${PATH}/power`, { key, do: what }, null);
  if (answer === null) return { kind: "unreachable" };
  if (answer.ok) return null;
  return isRefused(answer.body) ? { kind: "refused", refusal: answer.body.refused } : { kind: "unreachable" };
}

async function enter(path: string, body: object, signal: AbortSignal): Promise<Entry> {
  const answer = await post(path, body, signal);
  if (answer === null) return UNREACHABLE;
  if (answer.ok && isOpened(answer.body)) return { opened: answer.body };
  if (isRefused(answer.body)) return { trouble: { kind: "refused", refusal: answer.body.refused } };
  return UNREACHABLE;
}

/** Null when nothing came back, or something that is not JSON: a proxy's own page, say. */
async function post(path: string, body: object, signal: AbortSignal | null) {
  try {
    const response = await fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      cache: "no-store",
      credentials: "omit",
      referrerPolicy: "no-referrer",
      signal,
    });
    const text = await response.text();
    return { ok: response.ok, body: text === "" ? null : (JSON.parse(text) as unknown) };
  } catch {
    return null;
  }
}

/** The edge is the page's own origin, so this only tells the two answers apart, and both from a stranger's. */
function isOpened(body: unknown): body is OpenedSession {
  return has(body, "session") && has(body, "key") && has(body, "ticket");
}

function isRefused(body: unknown): body is RefusedSession {
  return has(body, "refused") && has(body.refused, "why");
}

function has<K extends string>(value: unknown, key: K): value is Record<K, unknown> {
  return typeof value === "object" && value !== null && key in value;
}
