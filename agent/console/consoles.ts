/**
 * The console sessions of this host, and who shares a screen with whom.
 *
 *   open --> admitted? --> the screen answers? --> older legs end --> [a seat at the screen] --> dial, pump --> report
 */
import { CONSOLE_CLOSE, CONSOLE_REASON, type Sharing } from "../../functions/protocol/console.ts";
import type { ConsoleClosed } from "../../functions/protocol/frames.ts";
import { type ConsoleSession, FIRST_LEG, type Params, type Value } from "../../functions/protocol/methods.ts";
import { DriverError } from "../drivers/driver.ts";
import { PageText } from "./page-text.ts";
import type { PipeEnd } from "./pipe.ts";
import { type Presence, Session, type SessionOptions } from "./session.ts";
import { SharedScreen } from "./shared-screen.ts";

/** The protocol's limit on a list (methods.ts: list_consoles). */
const MAX_LISTED = 1024;

export type ConsolesOptions = SessionOptions & {
  maxSessions: number;
  /** Called once for each connection of a session that was dialled, when it is over. */
  onClosed(closed: ConsoleClosed): void;
};

export class Consoles {
  readonly #options: ConsolesOptions;
  readonly #sessions = new Set<Session>();
  readonly #screens = new Map<string, SharedScreen>();
  /** How the screen of a server that has sessions is shared, as the edge said last. */
  readonly #sharing = new Map<string, Sharing>();
  #stopped = false;

  constructor(options: ConsolesOptions) {
    this.#options = options;
  }

  /**
   * Connects the server's screen and then, in the background, dials the edge for it. Resolves when the screen answered;
   * rejects with `DriverError` ConsoleNotAvailable when it does not or the session may not be, and TooManyConsoles when
   * the host has as many as it takes.
   */
  async open(server: string, params: Params<"open_console">): Promise<void> {
    const { session: about } = params;
    this.#admit(server, about);
    const session = new Session(server, params, this.#options);
    this.#sessions.add(session);
    if (about) this.share(server, about.sharing);
    try {
      await session.connect();
    } catch (error) {
      this.#forget(session);
      throw error;
    }
    const older = about ? this.#of(server).filter((one) => isLegOf(one, about) && one !== session) : [];
    for (const one of older) void one.end(CONSOLE_CLOSE.MOVED);
    const presence = about ? this.#seat(session, about) : { types: () => true, page: null };
    void session.run(presence).then((end) => this.#ended(session, end));
  }

  /** Ends these sessions of the server, or all of them, with this code. Those that are dialling end, too. */
  close(server: string, { sessions, code }: Params<"close_consoles">): void {
    const meant = sessions && new Set(sessions);
    for (const session of this.#of(server)) {
      if (!meant || (session.about && meant.has(session.about.session))) void session.end(code);
    }
  }

  /** Changes how the server's screen is shared, as long as anybody is on it. */
  share(server: string, sharing: Sharing): void {
    if (this.#of(server).length > 0) this.#sharing.set(server, sharing);
    this.#screens.get(server)?.share(sharing);
  }

  /** The server's sessions that are open, with what they have moved so far. */
  list(server: string): Value<"list_consoles">["sessions"] {
    const listed = this.#of(server).flatMap(({ about, counts }) =>
      about ? [{ session: about.session, leg: about.leg, ...counts }] : [],
    );
    return listed.slice(0, MAX_LISTED);
  }

  /** Ends all sessions; resolves within a second. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all([...this.#sessions].map((session) => session.end(CONSOLE_CLOSE.AGENT_STOPPING)));
  }

  get count(): number {
    return this.#sessions.size;
  }

  /** Throws `DriverError` ConsoleNotAvailable when a session may not be, TooManyConsoles when there is no room for it. */
  #admit(server: string, about: ConsoleSession | undefined): void {
    if (this.#stopped) throw unavailable("the host's agent is stopping");
    // Who goes on takes the place that it has.
    const others = [...this.#sessions].filter((one) => !(about && isLegOf(one, about)));
    if (others.length >= this.#options.maxSessions) {
      throw new DriverError("TooManyConsoles", CONSOLE_REASON[CONSOLE_CLOSE.FULL]);
    }
    if (about === undefined) return;
    const here = this.#of(server).filter(({ cut }) => !cut);
    if (here.some((one) => isLegOf(one, about) && (one.about?.leg ?? 0) >= about.leg)) {
      throw unavailable("the session has gone on since");
    }
    // Who goes on was here before: with others, if the screen became private since.
    if (about.sharing === "private" && about.leg === FIRST_LEG && here.some((one) => !isLegOf(one, about))) {
      throw unavailable("somebody is on this screen, and it is private");
    }
  }

  #seat(session: Session, about: ConsoleSession): Presence {
    const { server, rights } = session;
    const screen = this.#screens.get(server) ?? new SharedScreen(() => this.#screens.delete(server));
    this.#screens.set(server, screen);
    const page = about.page ? new PageText((order) => screen.order(about.session, order)) : null;
    const who = { session: about.session, label: about.label, owner: about.owner, input: rights.input };
    const seat = { who, leg: about.leg, page, onSilenced: () => session.letGo() };
    screen.join(seat, this.#sharing.get(server) ?? about.sharing);
    return { types: () => screen.types(about.session), page };
  }

  #ended(session: Session, { by, code }: PipeEnd): void {
    const { server, about, counts } = session;
    this.#forget(session);
    if (about === undefined) return;
    // A viewer that is no page cannot come back as the session that it was.
    this.#screens.get(server)?.leave(about.session, about.leg, { comesBack: about.page && !session.cut });
    const { session: id, leg } = about;
    this.#options.onClosed({ t: "console_closed", server, session: id, leg, ...counts, by, code, at: Date.now() });
  }

  #forget(session: Session): void {
    this.#sessions.delete(session);
    if (this.#of(session.server).length === 0) this.#sharing.delete(session.server);
  }

  #of(server: string): Session[] {
    return [...this.#sessions].filter((session) => session.server === server);
  }
}

function isLegOf({ about }: Session, { session }: ConsoleSession): boolean {
  return about?.session === session;
}

function unavailable(why: string): DriverError {
  return new DriverError("ConsoleNotAvailable", why);
}
