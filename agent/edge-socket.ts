/** The WebSockets that carry bytes through the edge: a console's, and a move's. */
import { WebSocket } from "ws";
import { socketUrl } from "./edge.ts";
import { onRefusal } from "./refusal.ts";

const DIAL_TIMEOUT_MS = 15_000;
/** TCP keepalive: what carries nothing for long would not show that its path is dead. */
const KEEPALIVE_MS = 30_000;

export type Dial = { edge: string; path: string; ticket: string; maxPayload: number };

/** Dials `path` at the edge, with `ticket` as the bearer. */
export function dialEdge({ edge, path, ticket, maxPayload }: Dial): WebSocket {
  const ws = new WebSocket(socketUrl(edge, path), {
    headers: { authorization: `Bearer ${ticket}` },
    perMessageDeflate: false,
    maxPayload,
    handshakeTimeout: DIAL_TIMEOUT_MS,
    // A mask of zeros, which `ws` need not apply: it doubles the rate. Masks keep scripts from writing what a proxy
    // would take for HTTP (RFC 6455 §10.3); under TLS, or on loopback, no proxy reads, and an edge is one of the two.
    generateMask: (mask) => mask.fill(0),
  });
  ws.on("upgrade", ({ socket }) => {
    socket.setKeepAlive(true, KEEPALIVE_MS);
    socket.setNoDelay(true);
  });
  return ws;
}

/** Resolves when the edge took the socket, which is paused then; rejects with one line that says why not. */
export function opened(ws: WebSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    onRefusal(ws, ({ why }) => reject(new Error(why)));
    ws.once("open", () => {
      // What the other end says before anybody listens is not lost.
      ws.pause();
      resolve();
    });
    ws.on("error", reject);
  });
}
