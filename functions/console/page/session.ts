/**
 * One console session over as many connections as it takes.
 *
 *   connecting ──► connected ──► resuming ──► connected …
 *       │  └──► pin ──┘             │
 *       ├──────────► ended ◄────────┘     for good, or until the person or the server does something about it
 *
 * A session is entered by the link's token once, and by its newest key from then on.
 */
import type RFB from "@novnc/novnc";
import { CONSOLE_CLOSE } from "../../protocol/console.ts";
import type { FromPage, ToPage } from "../../protocol/console-presence.ts";
import type { OpenedSession, PowerOrder } from "../../protocol/console-session.ts";
import { backoff } from "./backoff.ts";
import { Connection } from "./connection.ts";
import { type Entry, newAttempt, open, order, resume, screenUrl } from "./session-client.ts";
import type { Status } from "./status.ts";
import { keepKey, keepMoved, keptKey, movedSession } from "./tab-storage.ts";
import { type Step, stepAfter, type Trouble } from "./trouble.ts";

/** For an answer of the edge. A first opening may have to wake much; a resume that hangs is on a path that is gone. */
const OPEN_MS = 15_000;
const RESUME_MS = 4_000;
/** A connection that held for so long starts the backoff anew. */
const STEADY_MS = 5_000;
/** Between two looks at something that takes time: a server that is off, a limit that was hit. */
const WATCH_MS = 3_000;

const MOVED = { kind: "closed", code: CONSOLE_CLOSE.MOVED, reason: "" } as const;

export type SessionEvents = {
  status(status: Status): void;
  opened(session: OpenedSession["session"]): void;
  connected(rfb: RFB): void;
  named(name: string): void;
  said(frame: ToPage): void;
  latency(ms: number | null): void;
  /** A connection ends; its picture is still there. */
  ending(): void;
};

export class Session {
  readonly #target: HTMLElement;
  readonly #events: SessionEvents;
  /** In memory only. */
  readonly #token: string | null;
  /** By this the edge knows a try that is made again, and does not count it as a use of the link. */
  readonly #attempt = newAttempt();
  #key: string | null;
  #id: string | null = null;
  #pin: string | null = null;
  #connection: Connection | null = null;
  /** Whether a picture was there. */
  #began = false;
  /** Which of the runs is the one that goes on. */
  #run = 0;
  #wake: () => void = () => {};

  /** A token is a new session; without one, this tab's last session is taken up again. */
  constructor(target: HTMLElement, token: string | null, events: SessionEvents) {
    this.#target = target;
    this.#token = token;
    this.#events = events;
    this.#key = token === null ? keptKey() : null;
  }

  /** Null when there is no session to speak of. */
  get key(): string | null {
    return this.#key;
  }

  /** Null before there was a session. */
  get id(): string | null {
    return this.#id;
  }

  /** False: there is nothing to enter by. */
  start(): boolean {
    if (this.#key !== null || this.#token !== null) {
      void this.#go({ state: "connecting" });
      return true;
    }
    this.#id = movedSession();
    if (this.#id !== null) this.#events.status({ state: "ended", began: true, trouble: MOVED });
    return this.#id !== null;
  }

  /** On the person's word: try again, with a key from another window if it gave one. */
  again(key?: string): void {
    if (key !== undefined) this.#keep(key);
    void this.#go({ state: "connecting" });
  }

  enterPin(pin: string): void {
    this.#pin = pin;
    void this.#go({ state: "connecting" });
  }

  say(frame: FromPage): void {
    this.#connection?.say(frame);
  }

  /** Null when the order was taken. */
  order(what: PowerOrder): Promise<Trouble | null> {
    return this.#key === null ? Promise.resolve({ kind: "unreachable" }) : order(this.#key, what);
  }

  /** Something says that the path may be back, or be another one: do not wait for the next try. */
  poke(): void {
    this.#wake();
    this.#connection?.probe();
  }

  async #go(first: Status): Promise<void> {
    const run = ++this.#run;
    this.#wake();
    this.#connection?.abandon();
    this.#events.status(first);
    for (let attempt = 0; this.#run === run; attempt++) {
      const entry = await this.#enter(run);
      if (this.#run !== run) return;
      let trouble: Trouble;
      if ("opened" in entry) {
        const since = Date.now();
        trouble = await this.#look(entry.opened);
        if (this.#run !== run) return;
        if (Date.now() - since >= STEADY_MS) attempt = -1;
      } else trouble = entry.trouble;
      const step = stepAfter(trouble);
      this.#tell(trouble, step);
      if (step === "pin" || step === "stop") return;
      await this.#pause(step === "watch" ? WATCH_MS : backoff(Math.max(attempt, 0)));
    }
  }

  /** The key is kept before it is used: a reload in between finds it. */
  async #enter(run: number): Promise<Entry> {
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), this.#key === null ? OPEN_MS : RESUME_MS);
    // What hangs on a path that is gone is given up when there is a new one. An opening may count as a use: it is not.
    if (this.#key !== null) this.#wake = () => abort.abort();
    const entry = await this.#ask(abort.signal);
    clearTimeout(timer);
    if (this.#run === run && "opened" in entry) {
      this.#id = entry.opened.session.id;
      this.#keep(entry.opened.key);
      this.#events.opened(entry.opened.session);
    }
    return entry;
  }

  #ask(signal: AbortSignal): Promise<Entry> {
    if (this.#key !== null) return resume(this.#key, signal);
    return open(this.#token ?? "", this.#attempt, this.#pin, signal);
  }

  async #look({ ticket }: OpenedSession): Promise<Trouble> {
    const connection = new Connection(this.#target, screenUrl(location, ticket), {
      ...this.#events,
      connected: (rfb) => {
        this.#began = true;
        this.#events.status({ state: "connected" });
        this.#events.connected(rfb);
      },
    });
    this.#connection = connection;
    const trouble = await connection.ended;
    if (this.#connection === connection) {
      this.#connection = null;
      this.#events.latency(null);
    }
    return trouble;
  }

  #tell(trouble: Trouble, step: Step): void {
    if (trouble.kind === "closed" && trouble.code === MOVED.code && this.#id !== null) keepMoved(this.#id);
    if (step === "pin") {
      this.#pin = null;
      const wrong = trouble.kind === "refused" && trouble.refusal.why === "pin_wrong";
      this.#events.status({ state: "pin", wrong });
    } else if (step === "resume") this.#events.status({ state: "resuming", began: this.#began, trouble });
    else this.#events.status({ state: "ended", began: this.#began, trouble });
  }

  #keep(key: string): void {
    this.#key = key;
    keepKey(key);
  }

  #pause(ms: number): Promise<void> {
    return new Promise((done) => {
      const timer = setTimeout(done, ms);
      this.#wake = () => {
        clearTimeout(timer);
        done();
      };
    });
  }
}
