/**
 * One console token, by its hash: the sessions that are being joined (nova-novncproxy). It stores nothing, and never sees
 * the token in clear.
 */
import { DurableObject } from "cloudflare:workers";
import { config } from "../config.ts";
import { log } from "../log.ts";
import { CONSOLE_CLOSE } from "../protocol/console.ts";
import type { ConnectInfo } from "./console-auth.ts";
import { consoleAuthOf } from "./mint.ts";
import { SESSION_HEADER, SIDE_HEADER } from "./sides.ts";
import { endHalf, joinAgent } from "./splice.ts";
import { signTicket } from "./ticket.ts";

/** How long a browser's half waits for the agent's. */
const JOIN_TIMEOUT_MS = 15_000;

type Half = { far: WebSocket; deadline: ReturnType<typeof setTimeout> };

export class Console extends DurableObject<Env> {
  /** Browsers whose agent has not come yet, by session. They live as long as this object's memory, as their sockets do. */
  readonly #halves = new Map<string, Half>();

  /** Tokens were stored here once, each until an alarm. */
  override alarm(): Promise<void> {
    return this.ctx.storage.deleteAll();
  }

  /** An upgrade of either side. 101 with a socket, or 403 with nothing: the Worker words the refusal. */
  override async fetch(request: Request): Promise<Response> {
    const session = request.headers.get(SESSION_HEADER);
    if (request.headers.get(SIDE_HEADER) === "agent" && session !== null) return this.#agent(session);
    return this.#browser();
  }

  async #browser(): Promise<Response> {
    const name = this.ctx.id.name ?? "";
    const info = await consoleAuthOf(this.env, name).info(name);
    if (info === null) return refused();
    const host = await this.env.SERVER.getByName(info.server).consoleHost(info);
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
