/**
 * A browser's (or any VNC client's) WebSocket upgrade: on any path, with the token in its query
 * (nova: console/websocketproxy.py new_websocket_client).
 */
import { config } from "../config.ts";
import { network } from "../identity/address.ts";
import { causeOf, log } from "../log.ts";
import { SCREEN_PATH } from "../protocol/console-session.ts";
import { consoleAuthOf, tokenHash } from "./mint.ts";
import { originAllowed } from "./origin.ts";
import { ADDRESS_HEADER, HASH_HEADER, LEG_HEADER, SESSION_HEADER, SIDE_HEADER } from "./sides.ts";
import { readTicket } from "./ticket.ts";

/** Every refusal takes at least this long and looks the same, so that it does not tell a wrong token from an old one. */
export const REFUSAL_MS = 150;

/** A console token's form. */
export const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

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
  if (url.pathname === SCREEN_PATH) return joinByTicket(env, url.searchParams.get("ticket") ?? "");
  const token = url.searchParams.getAll("token").at(-1);
  if (token === undefined || !UUID.test(token)) return null;
  const address = request.headers.get("cf-connecting-ip") ?? "unknown";
  if (!(await mayGuess(env, address))) return null;
  const hash = await tokenHash(token);
  const server = await consoleAuthOf(env, hash).serverOf(hash);
  if (server === null) return null;
  return upgrade(env, server, { [SIDE_HEADER]: "stock", [HASH_HEADER]: hash, [ADDRESS_HEADER]: address });
}

/** The page's half of a connection that was offered to it. */
async function joinByTicket(env: Env, text: string): Promise<Response | null> {
  const ticket = await readTicket(env, "screen", text);
  if (ticket === null) return null;
  const { server, session, leg } = ticket;
  return upgrade(env, server, { [SIDE_HEADER]: "page", [SESSION_HEADER]: session, [LEG_HEADER]: String(leg) });
}

function upgrade(env: Env, server: string, headers: Record<string, string>): Promise<Response> {
  return env.CONSOLE.getByName(server).fetch("https://console/", { headers: { upgrade: "websocket", ...headers } });
}

/** Whether one more token from `address` is looked at. What is turned away here wakes no object. */
export async function mayGuess(env: Env, address: string): Promise<boolean> {
  const { success } = await env.CONSOLE_RATE.limit({ key: network(address) });
  if (!success) log("console.refused", { why: "rate" });
  return success;
}

/** A client that offers the subprotocol `binary` (old noVNC) needs it echoed; others must not see it. */
function accepted(request: Request, webSocket: WebSocket): Response {
  const offered = (request.headers.get("sec-websocket-protocol") ?? "").split(",").map((one) => one.trim());
  const headers = offered.includes("binary") ? { "sec-websocket-protocol": "binary" } : undefined;
  return new Response(null, { status: 101, webSocket, ...(headers ? { headers } : {}) });
}
