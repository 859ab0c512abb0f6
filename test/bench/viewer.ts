/** A browser's side of one session: it opens the screen, is led in, watches, and gives the stand-in its order. */
import { WebSocket } from "ws";
import { ByteFeed, type Reading } from "../../agent/rfb/byte-feed.ts";
import { GREETING, HELLO, orderText, WELCOME } from "../rfb-peers.ts";

const OPEN_TIMEOUT_MS = 30_000;
const ECHO_TIMEOUT_MS = 10_000;
/** A fence (rfbproto.rst §7.5.8) of 64 bytes. */
export const FENCE = Buffer.alloc(64, 7);
FENCE.set([248, 0, 0, 0, 0, 0, 0, 1, FENCE.length - 9]);
const WIDTH = 640;
const HEIGHT = 480;
const PIXEL_BYTES = 4;
const UPDATE_HEAD_BYTES = 4;
const RECTANGLE_HEAD_BYTES = 12;
const PICTURE_BYTES = UPDATE_HEAD_BYTES + RECTANGLE_HEAD_BYTES + WIDTH * HEIGHT * PIXEL_BYTES;

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
    const onMessage = (data: Buffer, isBinary: boolean) => {
      // Who is on the screen is told in texts.
      if (!isBinary) return;
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

/** Sends a fence, which the VNC server sends back; resolves when it is there. */
export function echoed(ws: WebSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    let arrived = 0;
    const settle = () => {
      clearTimeout(timer);
      ws.off("message", onMessage).off("close", onClose);
    };
    const fail = (error: Error) => {
      settle();
      reject(error);
    };
    const timer = setTimeout(() => fail(new Error(`no echo in ${ECHO_TIMEOUT_MS} ms`)), ECHO_TIMEOUT_MS);
    const onClose = (code: number) => fail(new Error(`the session ended: ${code}`));
    const onMessage = (data: Buffer, isBinary: boolean) => {
      if (isBinary) arrived += data.length;
      if (arrived < FENCE.length) return;
      settle();
      resolve();
    };
    ws.on("message", onMessage).on("close", onClose);
    ws.send(FENCE);
  });
}

/** Asks for the whole screen; resolves when all of it is there. */
export function firstPicture(ws: WebSocket): Promise<void> {
  return new Promise((resolve, reject) => {
    let arrived = 0;
    const onClose = (code: number) => reject(new Error(`closed before the first picture: ${code}`));
    const onMessage = (data: Buffer, isBinary: boolean) => {
      if (isBinary) arrived += data.length;
      if (arrived < PICTURE_BYTES) return;
      ws.off("message", onMessage).off("close", onClose);
      resolve();
    };
    ws.on("message", onMessage).once("close", onClose);
    ws.send(updateRequest(false));
  });
}

/** Watches as browsers do: asks for an update when the last is there. `onUpdate` gets its time (screen-process.ts). */
export function watch(ws: WebSocket, onUpdate: (movedMs: number) => void): void {
  function* read(): Reading<void> {
    for (;;) {
      const rectangles = (yield UPDATE_HEAD_BYTES).readUInt16BE(2);
      for (let at = 0; at < rectangles; at++) {
        const head = yield RECTANGLE_HEAD_BYTES;
        onUpdate((yield head.readUInt16BE(4) * head.readUInt16BE(6) * PIXEL_BYTES).readDoubleBE(0));
      }
      ws.send(updateRequest(true));
    }
  }
  const feed = new ByteFeed(read());
  ws.on("message", (data: Buffer, isBinary) => {
    if (isBinary) feed.push(data);
  });
  ws.send(updateRequest(true));
}

function updateRequest(incremental: boolean): Buffer {
  const request = Buffer.from([3, Number(incremental), 0, 0, 0, 0, 0, 0, 0, 0]);
  request.writeUInt16BE(WIDTH, 6);
  request.writeUInt16BE(HEIGHT, 8);
  return request;
}

/** Tells the stand-in to push; see screen-process.ts. */
export function order(ws: WebSocket, bytes: number): void {
  ws.send(orderText(bytes));
}
