/**
 * The connections (legs) of one server's sessions: a browser's socket waits here for its host's agent, which is asked to
 * dial in; once they are joined, only their host can tell of them, and cut them.
 */
import type { Screen } from "../conductor/screen.ts";
import { config } from "../config.ts";
import { log } from "../log.ts";
import { CONSOLE_CLOSE, CONSOLE_REASON, type ConsoleCloseCode, type Sharing } from "../protocol/console.ts";
import type { Outcome } from "../protocol/frames.ts";
import { type CallErrorCode, METHODS } from "../protocol/methods.ts";
import type { ConsoleStore } from "./console-store.ts";
import { Halves, JOIN_TIMEOUT_MS } from "./halves.ts";
import type { Link } from "./link.ts";
import type { SessionRow } from "./session.ts";
import { joinAgent } from "./splice.ts";
import { signTicket } from "./ticket.ts";

/** How long who ends a session waits for its host. */
const CUT_MS = 700;
const NOTHING = { bytes_up: 0, bytes_down: 0, keys: 0, pointers: 0, cut_texts: 0 };
/** What a viewer is told when its host's agent does not come. */
const UNSUMMONED: Partial<Record<CallErrorCode, ConsoleCloseCode>> = {
  HypervisorUnavailable: CONSOLE_CLOSE.HOST_OFFLINE,
  TooManyConsoles: CONSOLE_CLOSE.FULL,
};

type Leg = Pick<SessionRow, "id" | "leg">;
export type Here = Extract<Screen, { is: "here" }>;
export type ConnectionsOptions = { env: Env; store: ConsoleStore; server(): string };

export class Connections {
  readonly #env: Env;
  readonly #store: ConsoleStore;
  readonly #server: () => string;
  readonly #halves = new Halves();

  constructor({ env, store, server }: ConnectionsOptions) {
    this.#env = env;
    this.#store = store;
    this.#server = server;
  }

  /** A viewer's socket, which waits for the agent. */
  wait(leg: Leg): Response {
    const { 0: near, 1: far } = new WebSocketPair();
    this.#halves.wait(nameOf(leg), far, closing(CONSOLE_CLOSE.HOST_TIMEOUT));
    return new Response(null, { status: 101, webSocket: near });
  }

  /** The agent's socket, joined to the viewer's; null when nobody waits for it. */
  take(leg: Leg): Response | null {
    const far = this.#halves.take(nameOf(leg));
    if (far === null) return null;
    return new Response(null, { status: 101, webSocket: joinAgent(config(this.#env).CONSOLE_SPLICE, far) });
  }

  /** Ends a viewer that is still waiting. */
  end(leg: Leg, code: ConsoleCloseCode): void {
    this.#halves.end(nameOf(leg), closing(code));
  }

  /** Has the host's agent dial in for one connection; a viewer whose agent does not come is told why. */
  async summon({ id, leg }: Leg, link: Link, { host, bound }: Here, sharing: Sharing): Promise<void> {
    const server = this.#server();
    const { label, rights } = link.terms;
    const ticket = await signTicket(this.#env, "agent", { server, session: id, leg }, JOIN_TIMEOUT_MS / 1000);
    const outcome = await this.#env.HOST.getByName(host).openConsole(server, bound.generation, {
      console: server,
      ticket,
      rights: { input: rights.input, clipboard: rights.clipboard },
      session: {
        ...{ session: id, leg, label, sharing },
        owner: link.kind === "console",
        page: this.#store.session(id)?.page ?? false,
      },
    });
    log("console.summoned", { server, host, session: id, leg, ok: outcome.ok });
    if (outcome.ok) return;
    const code = UNSUMMONED[outcome.error.code] ?? CONSOLE_CLOSE.SCREEN_UNAVAILABLE;
    this.end({ id, leg }, code);
    this.#store.left(id, leg, code, NOTHING, Date.now());
  }

  /** Has their hosts cut sessions that are open. Whether all were asked in time, and did. */
  async cut(open: readonly SessionRow[], code: ConsoleCloseCode): Promise<boolean> {
    const cuts = [...Map.groupBy(open, ({ host }) => host)].map(async ([host, there]) => {
      const sessions = there.map(({ id }) => id);
      const stub = this.#env.HOST.getByName(host);
      const asked = stub.ask("close_consoles", this.#server(), generationOf(there), { sessions, code });
      return Promise.race([asked.then(isCut), scheduler.wait(CUT_MS).then(() => false)]);
    });
    return (await Promise.all(cuts)).every((done) => done);
  }

  /** Hears from the hosts which sessions are open: an agent that died over them told nobody. */
  async look(): Promise<void> {
    for (const [host, rows] of Map.groupBy(this.#store.open(), (row) => row.host)) {
      const stub = this.#env.HOST.getByName(host);
      const outcome = await stub.ask("list_consoles", this.#server(), generationOf(rows), {});
      const told = outcome.ok ? METHODS.list_consoles.value.safeParse(outcome.value) : null;
      if (!told?.success) continue;
      const there = new Set(told.data.sessions.map(({ session, leg }) => nameOf({ id: session, leg })));
      const now = Date.now();
      for (const row of rows) {
        // One that is just being joined is not there yet.
        if (there.has(nameOf(row)) || now - (row.joined_at ?? 0) < JOIN_TIMEOUT_MS) continue;
        this.#store.left(row.id, row.leg, 1006, NOTHING, now);
      }
    }
  }

  /** Has the hosts share the screen so from now on among those who are on it. */
  async share(sharing: Sharing): Promise<void> {
    const told = [...Map.groupBy(this.#store.open(), ({ host }) => host)].map(([host, rows]) =>
      this.#env.HOST.getByName(host).ask("share_console", this.#server(), generationOf(rows), { sharing }),
    );
    await Promise.all(told);
  }
}

const nameOf = ({ id, leg }: Leg) => `${id}:${leg}`;
const closing = (code: ConsoleCloseCode) => ({ code, reason: CONSOLE_REASON[code] });
/** The guest's on the host that is theirs; an older one's sessions have ended with it. */
const generationOf = (rows: readonly SessionRow[]) => Math.max(...rows.map(({ bound }) => bound.generation));

/** Also when the guest, and with it every screen of that time, is gone. */
function isCut(outcome: Outcome): boolean {
  return outcome.ok || outcome.error.code === "StaleGeneration";
}
