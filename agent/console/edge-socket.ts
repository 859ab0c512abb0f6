/** A console's WebSocket to the edge. */
import { WebSocket } from "ws";
import { socketUrl } from "../edge.ts";
import { onRefusal } from "../refusal.ts";

const DIAL_TIMEOUT_MS = 15_000;
/** A browser chooses the size of its frames: a viewer sends a few bytes a frame, a pasted text some kilobytes. */
const MAX_PAYLOAD_BYTES = 1024 * 1024;
/** TCP keepalive: a screen that does not change sends nothing, and a dead path would never show. */
const KEEPALIVE_MS = 30_000;

/** Dials the edge for the console `id`; `opened` tells what became of it. */
export function dialConsole(edge: string, id: string, ticket: string): WebSocket {
  const ws = new WebSocket(socketUrl(edge, `/agent/v1/console/${id}`), {
    headers: { authorization: `Bearer ${ticket}` },
    perMessageDeflate: false,
    maxPayload: MAX_PAYLOAD_BYTES,
    handshakeTimeout: DIAL_TIMEOUT_MS,
    // A mask of zeros, which `ws` need not apply: it doubles the rate. Masks keep scripts from writing what a proxy
    // would take for HTTP (RFC 6455 §10.3); under TLS, or on loopback, no proxy reads, and an edge is one of the two.
    generateMask: (mask) => mask.fill(0),
  });
  ws.on("upgrade", (response) => {
    response.socket.setKeepAlive(true, KEEPALIVE_MS);
    response.socket.setNoDelay(true);
  });
  return ws;
}

/** Resolves when the edge took the socket, which is paused then; rejects with one line that says why not. */
export function opened(ws: WebSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    onRefusal(ws, ({ why }) => reject(new Error(why)));
    ws.once("open", () => {
      // What the viewer says before anybody listens is not lost.
      ws.pause();
      resolve();
    });
    ws.on("error", reject);
  });
}
