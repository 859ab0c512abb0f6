/**
 * A browser's (or any VNC client's) WebSocket upgrade: on any path, with the token in its query
 * (nova: console/websocketproxy.py new_websocket_client).
 */
import { config } from "../config.ts";
import { causeOf, log } from "../log.ts";
import { tokenHash } from "./mint.ts";
import { SIDE_HEADER } from "./sides.ts";

/** Every refusal takes at least this long and looks the same, so that it does not tell a wrong token from an old one. */
const REFUSAL_MS = 150;

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Answers the upgrade: joined to the screen, or accepted and closed at once without a byte, as nova-novncproxy does. */
export async function upgradeConsole(request: Request, env: Env): Promise<Response> {
  const slowly = scheduler.wait(REFUSAL_MS);
  const joined = await join(request, env).catch((error) => {
    log("console.failed", { cause: causeOf(error) });
    return null;
  });
  if (joined?.status === 101 && joined.webSocket) return accepted(request, joined.webSocket);
  await slowly;
  const { 0: client, 1: server } = new WebSocketPair();
  server.accept();
  server.close();
  return accepted(request, client);
}

async function join(request: Request, env: Env): Promise<Response | null> {
  const url = new URL(request.url);
  if (!originAllowed(request.headers.get("origin"), url, config(env))) {
    log("console.refused", { why: "origin" });
    return null;
  }
  const token = url.searchParams.getAll("token").at(-1);
  if (token === undefined || !UUID.test(token)) return null;
  const address = request.headers.get("cf-connecting-ip") ?? "unknown";
  if (!(await env.CONSOLE_RATE.limit({ key: address })).success) {
    log("console.refused", { why: "rate" });
    return null;
  }
  const stub = env.CONSOLE.getByName(await tokenHash(token));
  return stub.fetch(url.origin, { headers: { upgrade: "websocket", [SIDE_HEADER]: "browser" } });
}

type OriginConfig = { CONSOLE_ALLOWED_ORIGINS: string[]; NOVNCPROXY_BASE_URL: string };

/**
 * Whether a page of `origin` may open a console at `url`. No Origin is no browser, and allowed. Ours is the one that
 * was called, or that console links name; others come from CONSOLE_ALLOWED_ORIGINS, an origin or a bare host name.
 */
export function originAllowed(origin: string | null, url: URL, options: OriginConfig): boolean {
  if (origin === null) return true;
  if (!URL.canParse(origin)) return false;
  const from = new URL(origin);
  if (from.origin === "null") return false;
  const base = options.NOVNCPROXY_BASE_URL;
  const ours = [url.origin.replace(/^ws/, "http"), ...(base === "" ? [] : [new URL(base).origin])];
  return [...ours, ...options.CONSOLE_ALLOWED_ORIGINS].some((one) => one === from.origin || one === from.hostname);
}

/** A client that offers the subprotocol `binary` (old noVNC) needs it echoed; others must not see it. */
function accepted(request: Request, webSocket: WebSocket): Response {
  const offered = (request.headers.get("sec-websocket-protocol") ?? "").split(",").map((one) => one.trim());
  const headers = offered.includes("binary") ? { "sec-websocket-protocol": "binary" } : undefined;
  return new Response(null, { status: 101, webSocket, ...(headers ? { headers } : {}) });
}
