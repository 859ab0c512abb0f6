/** One console: a VNC socket and a WebSocket, which live and die together. */
import { setTimeout as sleep } from "node:timers/promises";
import type { WebSocket } from "ws";
import { CONSOLE_CLOSE, CONSOLE_REASON, type ConsoleCloseCode } from "../../functions/protocol/console.ts";
import type { ConsoleCounts, ConsoleRights, ConsoleSession, Params } from "../../functions/protocol/methods.ts";
import { type Driver, DriverError } from "../drivers/driver.ts";
import { dialEdge, opened } from "../edge-socket.ts";
import { networkReason } from "../failure.ts";
import type { Log } from "../log.ts";
import type { PageText } from "./page-text.ts";
import { type PipeEnd, pipe } from "./pipe.ts";
import { connectVnc, hangUp, type VncAccess, type VncConnection } from "./vnc-socket.ts";

/** How long a session that was told to close may take to agree: the edge counts on its end within a second. */
const CLOSE_TIMEOUT_MS = 750;
/** A browser chooses the size of its frames: a viewer sends a few bytes a frame, a pasted text some kilobytes. */
const MAX_PAYLOAD_BYTES = 1024 * 1024;
/** RFC 6455 §7.1.5: the connection was lost. */
const ABNORMAL = 1006;

/** What Nova's tokens give. */
const ALL_RIGHTS: ConsoleRights = { input: true, clipboard: true };

export type SessionOptions = {
  driver: Driver;
  edge: string;
  access: VncAccess;
  /** A session of so long a silence is kept alive; 0 is never. */
  heartbeatMs: number;
  log: Log;
};
/** How the rest of the host sees the viewer. */
export type Presence = {
  /** Whether it is its turn to type. */
  types(): boolean;
  page: PageText | null;
};

export class Session {
  readonly server: string;
  /** What the edge told of it: nothing, if it is one without sessions. */
  readonly about: ConsoleSession | undefined;
  readonly rights: ConsoleRights;
  readonly counts: ConsoleCounts = { bytes_up: 0, bytes_down: 0, keys: 0, pointers: 0, cut_texts: 0 };
  readonly #options: SessionOptions;
  readonly #console: Pick<Params<"open_console">, "console" | "ticket">;
  #vnc: VncConnection | undefined;
  #ws: WebSocket | undefined;
  #running: Promise<PipeEnd> | undefined;
  #letGo = () => {};
  /** How it was told to end from here. */
  #cut: PipeEnd | undefined;

  constructor(
    server: string,
    { rights = ALL_RIGHTS, session, ...params }: Params<"open_console">,
    options: SessionOptions,
  ) {
    this.server = server;
    this.about = session;
    this.rights = rights;
    this.#console = params;
    this.#options = options;
  }

  /** Whether it was told to end: it does not come back. */
  get cut(): boolean {
    return this.#cut !== undefined;
  }

  /** Logs in to the screen. Rejects with `DriverError` ConsoleNotAvailable, also when it was ended meanwhile. */
  async connect(): Promise<void> {
    const address = await this.#options.driver.getVncConsole(this.server);
    this.#vnc = await connectVnc(address, this.#options.access);
    if (this.#cut === undefined) return;
    this.#vnc.socket.destroy();
    throw new DriverError("ConsoleNotAvailable", reasonOf(this.#cut.code));
  }

  /** Dials the edge and pumps; resolves when both ends are closed. Never rejects. `connect` comes before it. */
  run(presence: Presence): Promise<PipeEnd> {
    this.#running ??= this.#run(presence);
    return this.#running;
  }

  /** Lifts the keys and buttons that the viewer holds down. */
  letGo(): void {
    this.#letGo();
  }

  /** Ends it; a viewer that stalls cannot keep it. Resolves when that is done, within a second. */
  async end(code: number): Promise<void> {
    this.#cut ??= { by: code === CONSOLE_CLOSE.SCREEN_CLOSED ? "screen" : "link", code };
    const ws = this.#ws;
    if (this.#running === undefined || ws === undefined) return;
    this.#vnc?.socket.pause();
    this.#letGo();
    // A paused socket would never read the edge's answer to the close frame.
    ws.resume();
    ws.close(code, reasonOf(code));
    const late = sleep(CLOSE_TIMEOUT_MS, "late", { ref: false });
    if ((await Promise.race([this.#running, late])) === "late") ws.terminate();
    await this.#running;
  }

  async #run({ types, page }: Presence): Promise<PipeEnd> {
    const { edge, log, heartbeatMs } = this.#options;
    const { console: id, ticket } = this.#console;
    const vnc = this.#vnc;
    if (vnc === undefined) throw new Error("a session that runs is connected");
    const about = { server: this.server, console: id.slice(0, 12) };
    const startedMs = performance.now();
    try {
      const ws = dialEdge({ edge, path: `/agent/v1/console/${id}`, ticket, maxPayload: MAX_PAYLOAD_BYTES });
      this.#ws = ws;
      await opened(ws);
      log("console.opened", about);
      const { input, clipboard } = this.rights;
      const { ended, letGo } = pipe(vnc, ws, {
        rights: () => ({ input: input && types(), clipboard }),
        page,
        counts: this.counts,
        heartbeatMs,
        log: (event, fields) => log(event, { ...about, ...fields }),
      });
      this.#letGo = letGo;
      const end = await ended;
      const { by, code } = this.#cut ?? end;
      log("console.closed", { ...about, by, code, ms: Math.round(performance.now() - startedMs), ...this.counts });
      return { by, code };
    } catch (error) {
      log("console.dial_failed", { ...about, message: networkReason(error) });
      hangUp(vnc.socket);
      return this.#cut ?? { by: "link", code: ABNORMAL };
    }
  }
}

/** What the viewer shows; of a newer edge's code nothing is known. */
function reasonOf(code: number): string {
  return CONSOLE_REASON[code as ConsoleCloseCode] ?? "";
}
