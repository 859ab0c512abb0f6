/**
 * Joins a VNC server's socket with a viewer's WebSocket: messages as they come, in both directions, and no faster than
 * the slower side takes them. Each read of the socket is one binary frame of at most 64 KiB (libuv's buffer), which is a
 * good frame size under load.
 */
import { type RawData, WebSocket } from "ws";
import { CONSOLE_CLOSE, CONSOLE_REASON, type ConsoleCloseCode, GO, HOLD } from "../../functions/protocol/console.ts";
import type { ConsoleCounts, ConsoleRights } from "../../functions/protocol/methods.ts";
import type { Log } from "../log.ts";
import { RfbError } from "../rfb/rfb-error.ts";
import { pixelBytes } from "../rfb/wire.ts";
import type { PageText } from "./page-text.ts";
import { ScreenMessages } from "./screen-messages.ts";
import { Viewer } from "./viewer.ts";
import { hangUp, type VncConnection } from "./vnc-socket.ts";

/**
 * How many bytes may wait in the WebSocket. Small: what waits here is old screen when it arrives, and a viewer that
 * stalls should stop the VNC server, which then merges updates, and not this process.
 */
const HIGH_WATER_BYTES = 256 * 1024;
const LOW_WATER_BYTES = 64 * 1024;
/** RFC 6455 §7.4.1: a kind of data that the endpoint cannot accept. */
const UNSUPPORTED_DATA = 1003;
/** An update of nothing (RFC 6143 §7.6.1): what a screen that does not change has to say. */
const EMPTY_UPDATE = Buffer.from([0, 0, 0, 0]);
/** Where ServerInit has its pixel format. */
const FORMAT_AT = 4;

/** Who ended it, and the code of the close. */
export type PipeEnd = { by: "screen" | "link"; code: number };
export type PipeOptions = {
  rights(): ConsoleRights;
  /** Text frames are for it; null: the viewer understands none. */
  page: PageText | null;
  /** What goes through is counted here. */
  counts: ConsoleCounts;
  /** A session of so long a silence is kept alive; 0 is never. */
  heartbeatMs: number;
  log: Log;
};
/** `letGo` lifts the keys and buttons that the viewer holds down. */
export type Pipe = { ended: Promise<PipeEnd>; letGo(): void };

/** Pumps from now until both ends are closed. The WebSocket must be open, and paused. `ended` never rejects. */
export function pipe(connection: VncConnection, ws: WebSocket, options: PipeOptions): Pipe {
  const { rights, page, counts, heartbeatMs, log } = options;
  const { socket: vnc, serverInit } = connection;
  let ending: PipeEnd | undefined;
  let held = false;
  let welcomed = false;
  /** Whether anything went to the viewer since the last look. */
  let active = false;
  const format = serverInit.subarray(FORMAT_AT);
  /** Null when the screen cannot be followed, and need not be. */
  let screen: ScreenMessages | null = new ScreenMessages(
    pixelBytes(format) ?? { raw: 4, tight: 4 },
    () => rights().clipboard,
  );

  const end = (code: ConsoleCloseCode, by: PipeEnd["by"]) => {
    ending ??= { by, code };
    // A paused socket would never read the edge's answer to the close frame.
    ws.resume();
    ws.close(code, CONSOLE_REASON[code]);
  };
  const screenClosed = () => end(CONSOLE_CLOSE.SCREEN_CLOSED, "screen");
  const sent = () => {
    if (welcomed && !held && vnc.isPaused() && ws.bufferedAmount <= LOW_WATER_BYTES) vnc.resume();
  };
  const toViewer = (bytes: Buffer, done?: () => void) => {
    active = true;
    counts.bytes_down += bytes.length;
    ws.send(bytes, () => {
      done?.();
      sent();
    });
  };

  const viewer = new Viewer({
    serverInit,
    rights,
    counts,
    toViewer,
    toScreen: (bytes) => {
      if (vnc.writable && !vnc.write(bytes)) ws.pause();
    },
    onPixels: (pixels) => {
      if (screen) screen.pixels = pixels;
    },
    onWelcome: () => {
      welcomed = true;
      if (connection.early.length > 0) connection.onBytes(connection.early, () => undefined);
      sent();
    },
  });

  const leave = () => {
    viewer.letGo();
    hangUp(vnc);
  };
  const hold = (now: boolean) => {
    held = now;
    page?.hold(now);
    if (now) vnc.pause();
    else sent();
  };
  const hear = (text: Buffer) => {
    const word = text.toString("latin1");
    if (word === HOLD || word === GO) return hold(word === HOLD);
    if (page) return page.hear(text);
    ending ??= { by: "link", code: UNSUPPORTED_DATA };
    ws.close(UNSUPPORTED_DATA, "A console takes binary frames only.");
  };

  /** The parts of a read that the viewer may have. */
  const passed = (bytes: Buffer): Buffer[] => {
    if (screen === null) return [bytes];
    try {
      return screen.push(bytes);
    } catch (error) {
      if (!(error instanceof RfbError)) throw error;
      log("console.screen_unknown", { message: error.message });
      if (!rights().clipboard) {
        end(CONSOLE_CLOSE.BAD_SCREEN, "screen");
        vnc.destroy();
        return [];
      }
      screen = null;
      return [bytes];
    }
  };

  connection.onBytes = (bytes, done) => {
    if (ws.readyState !== WebSocket.OPEN) return done();
    const parts = passed(bytes);
    for (const [at, part] of parts.entries()) toViewer(part, at === parts.length - 1 ? done : undefined);
    if (parts.length === 0) done();
    if (ws.bufferedAmount > HIGH_WATER_BYTES) vnc.pause();
  };
  vnc.on("drain", () => ws.resume());
  // 'end' comes after the last byte was sent on; 'close' alone when the socket was reset or destroyed.
  vnc.once("end", screenClosed);
  vnc.once("close", screenClosed);
  if (vnc.destroyed) screenClosed();

  ws.on("message", (data, isBinary) => {
    // What comes after the end, before the other side knows of it, has no right any more.
    if (ws.readyState !== WebSocket.OPEN) return;
    const bytes = asBuffer(data);
    try {
      if (!isBinary) return hear(bytes);
      counts.bytes_up += bytes.length;
      viewer.push(bytes);
    } catch (error) {
      if (!(error instanceof RfbError)) throw error;
      log("console.viewer_unknown", { message: error.message });
      end(CONSOLE_CLOSE.BAD_VIEWER, "link");
      leave();
    }
  });
  const heartbeat = () => {
    if (ws.readyState !== WebSocket.OPEN) return;
    // For the path to the edge; what goes to the viewer itself is for the path behind it. Pongs have to be read, too.
    if (!ws.isPaused) ws.ping();
    if (welcomed && !active && screen?.between && ws.bufferedAmount === 0) ws.send(EMPTY_UPDATE);
    active = false;
  };
  const timer = heartbeatMs > 0 ? setInterval(heartbeat, heartbeatMs) : undefined;
  ws.on("error", () => undefined); // 'close' follows
  page?.open((text, done) => ws.send(text, done));
  ws.resume();
  const ended = new Promise<PipeEnd>((resolve) => {
    ws.once("close", (code) => {
      clearInterval(timer);
      leave();
      resolve(ending ?? { by: "link", code });
    });
  });
  return { ended, letGo: () => viewer.letGo() };
}

function asBuffer(data: RawData): Buffer {
  if (Buffer.isBuffer(data)) return data;
  return Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data);
}
