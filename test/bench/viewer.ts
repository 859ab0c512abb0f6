/** A browser's side of one session: it opens the screen, reads the greeting and gives the stand-in its order. */
import { WebSocket } from "ws";

const OPEN_TIMEOUT_MS = 30_000;

/** Resolves when the greeting is there. */
export function openScreen(url: string): Promise<WebSocket> {
  // "binary" as noVNC once offered it: websockify wants a subprotocol it knows, and so does the edge answer it.
  const ws = new WebSocket(url, ["binary"], { perMessageDeflate: false, handshakeTimeout: OPEN_TIMEOUT_MS });
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => fail(new Error(`no greeting in ${OPEN_TIMEOUT_MS} ms`)), OPEN_TIMEOUT_MS);
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
    const onClose = (code: number, reason: Buffer) => fail(new Error(`closed before the greeting: ${code} ${reason}`));
    ws.on("error", fail);
    ws.on("close", onClose);
    ws.once("message", (data) => {
      if (String(data) !== "RFB 003.008\n") return fail(new Error(`greeted with ${data}`));
      settle();
      ws.on("error", () => undefined);
      resolve(ws);
    });
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

/** Tells the stand-in what to do; see screen-process.ts. */
export function order(ws: WebSocket, what: "echo" | "push" | "idle", bytes = 0): void {
  const message = Buffer.alloc(5);
  message.write({ echo: "E", push: "P", idle: "I" }[what]);
  message.writeUInt32BE(bytes, 1);
  ws.send(message);
}
