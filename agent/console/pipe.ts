/**
 * Joins a VNC server's socket with a WebSocket: bytes as they come, in both directions, and no faster than the slower
 * side takes them. Each read of the socket is one binary frame, so the messages of the RFB handshake keep the borders
 * that the VNC server gave them; a read is at most 64 KiB (libuv's buffer), which is a good frame size under load.
 */
import { type RawData, WebSocket } from "ws";
import { CONSOLE_CLOSE, CONSOLE_REASON, GO, HOLD } from "../../functions/protocol/console.ts";
import type { VncConnection } from "./vnc-socket.ts";

/**
 * How many bytes may wait in the WebSocket. Small: what waits here is old screen when it arrives, and a viewer that
 * stalls should stop the VNC server, which then merges updates, and not this process.
 */
const HIGH_WATER_BYTES = 256 * 1024;
const LOW_WATER_BYTES = 64 * 1024;
/** RFC 6455 §7.4.1: a kind of data that the endpoint cannot accept. */
const UNSUPPORTED_DATA = 1003;

export type PipeEnd = { by: "screen" | "link"; code: number; bytesUp: number; bytesDown: number };

/** Pumps from now until both ends are closed. The WebSocket must be open. Never rejects. */
export function pipe(connection: VncConnection, ws: WebSocket): Promise<PipeEnd> {
  const vnc = connection.socket;
  let by: PipeEnd["by"] | undefined;
  let bytesUp = 0;
  let bytesDown = 0;
  let held = false;

  const screenClosed = () => {
    by ??= "screen";
    // A paused socket would never read the edge's answer to the close frame.
    ws.resume();
    ws.close(CONSOLE_CLOSE.SCREEN_CLOSED, CONSOLE_REASON[CONSOLE_CLOSE.SCREEN_CLOSED]);
  };
  const sent = () => {
    if (!held && vnc.isPaused() && ws.bufferedAmount <= LOW_WATER_BYTES) vnc.resume();
  };

  const order = (text: string) => {
    if (text !== HOLD && text !== GO) return ws.close(UNSUPPORTED_DATA, "A console takes binary frames only.");
    held = text === HOLD;
    if (held) vnc.pause();
    else sent();
  };

  connection.onBytes = (bytes, done) => {
    if (ws.readyState !== WebSocket.OPEN) return done();
    bytesDown += bytes.length;
    ws.send(bytes, () => {
      done();
      sent();
    });
    if (ws.bufferedAmount > HIGH_WATER_BYTES) vnc.pause();
  };
  vnc.on("drain", () => ws.resume());
  // 'end' comes after the last byte was sent on; 'close' alone when the socket was reset or destroyed.
  vnc.once("end", screenClosed);
  vnc.once("close", screenClosed);
  if (vnc.destroyed) screenClosed();
  else vnc.resume();

  ws.on("message", (data, isBinary) => {
    const bytes = asBuffer(data);
    if (!isBinary) return order(bytes.toString("latin1"));
    bytesUp += bytes.length;
    if (vnc.writable && !vnc.write(bytes)) ws.pause();
  });
  ws.on("error", () => undefined); // 'close' follows
  return new Promise((resolve) => {
    ws.once("close", (code) => {
      by ??= "link";
      vnc.destroy();
      resolve({ by, code, bytesUp, bytesDown });
    });
  });
}

function asBuffer(data: RawData): Buffer {
  if (Buffer.isBuffer(data)) return data;
  return Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data);
}
