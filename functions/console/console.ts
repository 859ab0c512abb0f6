/**
 * One console token, by its hash: what it opens, until when, and the sessions that are being joined
 * (nova-consoleauth and nova-novncproxy). It never sees the token in clear.
 */
import { DurableObject } from "cloudflare:workers";
import { config } from "../config.ts";
import { log } from "../log.ts";
import { CONSOLE_CLOSE } from "../protocol/console.ts";
import type { VncAddress } from "../protocol/guest.ts";
import { migrate, migrateExisting } from "../store/migrate.ts";
import { SESSION_HEADER, SIDE_HEADER } from "./sides.ts";
import { endHalf, joinAgent } from "./splice.ts";
import { signTicket } from "./ticket.ts";

/** nova: ConsoleAuthToken. `expires_at` in ms since the epoch. */
export type ConnectInfo = {
  console_type: "novnc";
  server: string;
  project_id: string;
  generation: number;
  host: string;
  connect: VncAddress;
  expires_at: number;
};

/** How long a browser's half waits for the agent's. */
const JOIN_TIMEOUT_MS = 15_000;

const MIGRATIONS = ["CREATE TABLE connect (id INTEGER PRIMARY KEY CHECK (id = 1), info TEXT NOT NULL);"] as const;

type Half = { far: WebSocket; deadline: ReturnType<typeof setTimeout> };

export class Console extends DurableObject<Env> {
  /** Browsers whose agent has not come yet, by session. They live as long as this object's memory, as their sockets do. */
  readonly #halves = new Map<string, Half>();

  /** Stores what the token opens. The alarm forgets it. */
  async authorize(info: ConnectInfo): Promise<void> {
    migrate(this.ctx.storage, MIGRATIONS);
    this.ctx.storage.sql.exec("INSERT OR REPLACE INTO connect VALUES (1, ?)", JSON.stringify(info));
    await this.ctx.storage.setAlarm(info.expires_at);
  }

  /** What the token opens; null when it was never made, has expired or was revoked. */
  info(): ConnectInfo | null {
    if (!migrateExisting(this.ctx.storage, MIGRATIONS)) return null;
    const row = this.ctx.storage.sql.exec<{ info: string }>("SELECT info FROM connect").toArray()[0];
    const info = row ? (JSON.parse(row.info) as ConnectInfo) : null;
    return info && info.expires_at > Date.now() ? info : null;
  }

  /** Forgets the token. Sessions that are open end with their screen. */
  async revoke(): Promise<void> {
    await this.ctx.storage.deleteAll();
  }

  override alarm(): Promise<void> {
    return this.revoke();
  }

  /** An upgrade of either side. 101 with a socket, or 403 with nothing: the Worker words the refusal. */
  override async fetch(request: Request): Promise<Response> {
    const session = request.headers.get(SESSION_HEADER);
    if (request.headers.get(SIDE_HEADER) === "agent" && session !== null) return this.#agent(session);
    return this.#browser();
  }

  async #browser(): Promise<Response> {
    const info = this.info();
    if (info === null) return refused();
    const host = await this.env.SERVER.getByName(info.server).consoleHost(info.generation);
    if (host === null) return refused();
    const session = crypto.randomUUID();
    const { 0: near, 1: far } = new WebSocketPair();
    const deadline = setTimeout(() => this.#end(session, CONSOLE_CLOSE.HOST_TIMEOUT), JOIN_TIMEOUT_MS);
    this.#halves.set(session, { far, deadline });
    this.ctx.waitUntil(this.#summon(session, host, info));
    return new Response(null, { status: 101, webSocket: near });
  }

  /** Has the host's agent dial in for the session. */
  async #summon(session: string, host: string, info: ConnectInfo): Promise<void> {
    const name = this.ctx.id.name ?? "";
    const ticket = await signTicket(this.env, { console: name, session }, JOIN_TIMEOUT_MS / 1000);
    const stub = this.env.HOST.getByName(host);
    const outcome = await stub.openConsole(info.server, info.generation, { console: name, ticket });
    log("console.summoned", { server: info.server, host, session, ok: outcome.ok });
    if (outcome.ok) return;
    const away = outcome.error.code === "HypervisorUnavailable";
    this.#end(session, away ? CONSOLE_CLOSE.HOST_OFFLINE : CONSOLE_CLOSE.SCREEN_UNAVAILABLE);
  }

  #agent(session: string): Response {
    const half = this.#take(session);
    if (half === undefined) return refused();
    return new Response(null, { status: 101, webSocket: joinAgent(config(this.env).CONSOLE_SPLICE, half.far) });
  }

  #end(session: string, code: (typeof CONSOLE_CLOSE)[keyof typeof CONSOLE_CLOSE]): void {
    const half = this.#take(session);
    if (half) endHalf(half.far, code);
  }

  #take(session: string): Half | undefined {
    const half = this.#halves.get(session);
    if (half) {
      clearTimeout(half.deadline);
      this.#halves.delete(session);
    }
    return half;
  }
}

function refused(): Response {
  return new Response(null, { status: 403 });
}
