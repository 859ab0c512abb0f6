/** The console sessions of this host: one VNC socket and one WebSocket each, which live and die together. */
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket } from "ws";
import { CONSOLE_CLOSE, CONSOLE_REASON, type ConsoleCloseCode } from "../../functions/protocol/console.ts";
import type { ConsoleRights, Params } from "../../functions/protocol/methods.ts";
import { type Driver, DriverError } from "../drivers/driver.ts";
import { socketUrl } from "../edge.ts";
import { networkReason } from "../failure.ts";
import type { Log } from "../log.ts";
import { onRefusal } from "../refusal.ts";
import { pipe } from "./pipe.ts";
import { connectVnc, type VncAccess, type VncConnection } from "./vnc-socket.ts";

const DIAL_TIMEOUT_MS = 15_000;
/** How long a session that was told to close may take to agree. */
const CLOSE_TIMEOUT_MS = 1000;
/** A browser chooses the size of its frames: a viewer sends a few bytes a frame, a pasted text some kilobytes. */
const MAX_PAYLOAD_BYTES = 1024 * 1024;
/** TCP keepalive: a screen that does not change sends nothing, and a dead path would never show. */
const KEEPALIVE_MS = 30_000;

/** What Nova's tokens give. */
const ALL_RIGHTS: ConsoleRights = { input: true, clipboard: true };

/** `heartbeatMs`: see pipe.ts. */
export type ConsolesOptions = { driver: Driver; edge: string; access: VncAccess; heartbeatMs: number; log: Log };
type Session = {
  server: string;
  vnc: VncConnection;
  ws: WebSocket;
  rights: ConsoleRights;
  ended: Promise<void>;
};

export class Consoles {
  readonly #options: ConsolesOptions;
  readonly #sessions = new Set<Session>();
  #stopped = false;

  constructor(options: ConsolesOptions) {
    this.#options = options;
  }

  /**
   * Connects the server's screen and then, in the background, dials the edge for it. Resolves when the screen answered;
   * rejects with `DriverError` ConsoleNotAvailable when it does not.
   */
  async open(server: string, { console: id, ticket, rights = ALL_RIGHTS }: Params<"open_console">): Promise<void> {
    const address = await this.#options.driver.getVncConsole(server);
    const vnc = await connectVnc(address, this.#options.access);
    if (this.#stopped) {
      vnc.socket.destroy();
      throw new DriverError("ConsoleNotAvailable", "the host's agent is stopping");
    }
    const ws = this.#dial(id, ticket);
    const session: Session = { server, vnc, ws, rights, ended: Promise.resolve() };
    this.#sessions.add(session);
    session.ended = this.#run(id, session).finally(() => this.#sessions.delete(session));
  }

  /** Ends the sessions of a server whose screen is gone. A viewer that stalls cannot keep its session alive. */
  close(server: string): void {
    for (const session of this.#sessions) if (session.server === server) void end(session, CONSOLE_CLOSE.SCREEN_CLOSED);
  }

  /** Ends all sessions; resolves within a second or so. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all([...this.#sessions].map((session) => end(session, CONSOLE_CLOSE.AGENT_STOPPING)));
  }

  get count(): number {
    return this.#sessions.size;
  }

  #dial(id: string, ticket: string): WebSocket {
    const ws = new WebSocket(socketUrl(this.#options.edge, `/agent/v1/console/${id}`), {
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

  async #run(id: string, { server, vnc, ws, rights }: Session): Promise<void> {
    const { log, heartbeatMs } = this.#options;
    const about = { server, console: id.slice(0, 12) };
    const startedMs = performance.now();
    try {
      await opened(ws);
      log("console.opened", about);
      const end = await pipe(vnc, ws, {
        rights: () => rights,
        heartbeatMs,
        log: (event, fields) => log(event, { ...about, ...fields }),
      });
      const { by, code, bytesUp, bytesDown, inputs } = end;
      const ms = Math.round(performance.now() - startedMs);
      log("console.closed", { ...about, by, code, ms, bytes_up: bytesUp, bytes_down: bytesDown, ...inputs });
    } catch (error) {
      log("console.dial_failed", { ...about, message: networkReason(error) });
    } finally {
      vnc.socket.destroy();
    }
  }
}

/** Resolves when the edge took the socket, which is paused then; rejects with one line that says why not. */
function opened(ws: WebSocket): Promise<void> {
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

async function end({ vnc, ws, ended }: Session, code: ConsoleCloseCode): Promise<void> {
  vnc.socket.pause();
  ws.resume();
  ws.close(code, CONSOLE_REASON[code]);
  const late = sleep(CLOSE_TIMEOUT_MS, "late", { ref: false });
  if ((await Promise.race([ended, late])) === "late") ws.terminate();
  vnc.socket.destroy();
}
