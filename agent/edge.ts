/** The edge as an agent sees it: its base URL, and what its refusals mean. */
import { isIP } from "node:net";
import { Failure } from "./failure.ts";

/** How far the clocks may differ before an assertion, which lives 60 s, is refused. */
export const MAX_SKEW_MS = 60_000;
const MAX_FAULT_CHARS = 300;

/**
 * Checks an edge's base URL and returns it without a trailing slash. Throws `Failure`.
 * Plain http is for loopback only: everything the agent sends is a credential or somebody's screen.
 */
export function parseEdge(text: string): string {
  const url = URL.parse(text);
  if (url === null || (url.protocol !== "https:" && url.protocol !== "http:")) {
    throw new Failure(`"${text}" is not the URL of an edge: write https://…`);
  }
  if (url.username || url.password || url.search || url.hash) {
    throw new Failure("the edge's URL must not have a user, a query or a fragment");
  }
  if (url.protocol === "http:" && !isLoopback(url.hostname)) {
    throw new Failure(`refusing ${url.origin}: plain http is only for an edge on this machine; write https://…`);
  }
  return `${url.origin}${url.pathname.replace(/\/+$/, "")}`;
}

/** The WebSocket URL of `path` (which starts with a slash) on the edge. */
export function socketUrl(edge: string, path: string): string {
  return `${edge.replace(/^http/, "ws")}${path}`;
}

/** The person-readable message of a Nova fault body (`{"<name>":{"code":…,"message":…}}`); null when it is not one. */
export function faultMessage(body: string): string | null {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null) return null;
  const fault: unknown = Object.values(value)[0];
  if (typeof fault !== "object" || fault === null || !("message" in fault)) return null;
  return typeof fault.message === "string" ? fault.message.slice(0, MAX_FAULT_CHARS) : null;
}

/** One line that says why the edge refused: its own message, and the clocks when they explain a 401. */
export function explainRefusal(refusal: { status: number; date: string | null; body: string }, nowMs: number): string {
  const said = faultMessage(refusal.body);
  const parts = [`the edge refused with ${refusal.status}${said === null ? "" : `: ${said}`}`];
  const edgeMs = Date.parse(refusal.date ?? "");
  if (refusal.status === 401 && Math.abs(edgeMs - nowMs) > MAX_SKEW_MS) {
    const seconds = Math.round((nowMs - edgeMs) / 1000);
    parts.push(
      `this host's clock is ${Math.abs(seconds)} s ${seconds > 0 ? "ahead of" : "behind"} the edge's: set it right`,
    );
  }
  return parts.join("; ");
}

function isLoopback(hostname: string): boolean {
  if (hostname === "localhost" || hostname === "[::1]") return true;
  return isIP(hostname) === 4 && hostname.startsWith("127.");
}
