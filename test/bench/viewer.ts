/** A browser's side of one session: it opens the screen, is led in, and gives the stand-in its order. */
import { WebSocket } from "ws";
import { GREETING, HELLO, orderText, WELCOME } from "../rfb-peers.ts";

const OPEN_TIMEOUT_MS = 30_000;

/** Resolves when ServerInit is there. */
export function openScreen(url: string): Promise<WebSocket> {
  // "binary" as noVNC once offered it: websockify wants a subprotocol it knows, and so does the edge answer it.
  const ws = new WebSocket(url, ["binary"], { perMessageDeflate: false, handshakeTimeout: OPEN_TIMEOUT_MS });
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => fail(new Error(`no ServerInit in ${OPEN_TIMEOUT_MS} ms`)), OPEN_TIMEOUT_MS);
    const settle = () => {
      clearTimeout(timer);
      ws.off("close", onClose);
      ws.off("error", fail);
    };
    const fail = (error: Error) => {
      settle();
      ws.on("error", () => undefined);
      ws.terminate();
      reject(error);
    };
    const onClose = (code: number, reason: Buffer) => fail(new Error(`closed before ServerInit: ${code} ${reason}`));
    ws.on("error", fail);
    ws.on("close", onClose);
    let said = Buffer.alloc(0);
    const onMessage = (data: Buffer) => {
      if (said.length === 0) {
        // Piece by piece, as viewers do: each answers what the server said.
        ws.send(HELLO.subarray(0, GREETING.length));
      }
      said = Buffer.concat([said, data]);
      if (said.length === GREETING.length + 2) ws.send(HELLO.subarray(GREETING.length, -1));
      if (said.length === GREETING.length + 6) ws.send(HELLO.subarray(-1));
      if (said.length < WELCOME.length) return;
      ws.off("message", onMessage);
      if (!said.equals(WELCOME)) return fail(new Error(`led in with ${said.toString("latin1")}`));
      settle();
      ws.on("error", () => undefined);
      resolve(ws);
    };
    ws.on("message", onMessage);
  });
}

/** Resolves when the session is closed. */
export function closeScreen(ws: WebSocket): Promise<void> {
  if (ws.readyState === WebSocket.CLOSED) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(() => ws.terminate(), 2000);
    ws.once("close", () => {
      clearTimeout(timer);
      resolve();
    });
    ws.close(1000);
  });
}

/** Tells the stand-in to push; see screen-process.ts. */
export function order(ws: WebSocket, bytes: number): void {
  ws.send(orderText(bytes));
}
