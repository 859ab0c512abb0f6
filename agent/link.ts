/** Keeps the control link up: dials, dials again, and never gives up. */
import { setTimeout as sleep } from "node:timers/promises";
import type { CallFrame, DeletedGuest, FromAgent, Outcome } from "../functions/protocol/frames.ts";
import { type BackoffOptions, backoff } from "./backoff.ts";
import { socketUrl } from "./edge.ts";
import { Failure, networkReason } from "./failure.ts";
import type { Identity } from "./identity.ts";
import { type ConsoleNoted, LinkSession, type SessionEnd } from "./link-session.ts";
import type { Log } from "./log.ts";

const LINK_PATH = "/agent/v1/link";
/** A hypervisor that does not answer in this time has nothing to offer the edge. */
const HELLO_TIMEOUT_MS = 30_000;
/** How long a close may take at a stop. The whole agent has 3 s. */
const CLOSE_TIMEOUT_MS = 300;
/**
 * A fleet that lost its edge at one moment is back within a minute of its return: the longest wait, a dial that hangs
 * (HANDSHAKE_TIMEOUT_MS), and one more wait.
 */
const BACKOFF: BackoffOptions = { baseMs: 1000, capMs: 20_000 };
/** After a refusal that somebody must mend: never at once, and at last every few minutes. */
const LASTING_FLOOR_MS = 5000;
const LASTING_BACKOFF: BackoffOptions = { baseMs: 30_000, capMs: 300_000 };

export type LinkOptions = {
  identity: Pick<Identity, "edge" | "host" | "assertion">;
  /** Puts the hello of the next link together. */
  hello(): Promise<FromAgent>;
  onCall(call: CallFrame): Promise<Outcome>;
  onAck(call: string): void;
  /** Guests on this host that should be gone, as the edge knows. */
  onDeleted(guests: readonly DeletedGuest[]): void;
  onConsoleNoted(leg: ConsoleNoted): void;
  /** The link is up: from now on `send` sends. */
  onWelcome(lease: number | undefined, at: number): void;
  /** As a session's. */
  onHeard?(at: number): void;
  log: Log;
  retry?: BackoffOptions;
};

export class Link {
  readonly #options: LinkOptions;
  readonly #stopping = new AbortController();
  #session: LinkSession | undefined;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  /** Dials until `stop`. Never rejects. */
  async run(): Promise<void> {
    const { identity, log, retry = BACKOFF } = this.#options;
    let failures = 0;
    let lasting = 0;
    while (!this.#stopping.signal.aborted) {
      const end = await this.#dial();
      if (this.#stopping.signal.aborted) break;
      if (end.welcomed) failures = 0;
      lasting = end.lasting ? lasting + 1 : 0;
      const retry_ms = end.lasting
        ? LASTING_FLOOR_MS + backoff(lasting - 1, LASTING_BACKOFF)
        : backoff(failures, retry);
      if (!end.lasting) failures += 1;
      const message = `waiting for the edge at ${identity.edge}: ${end.why}`;
      log(end.lasting ? "link.refused" : "link.waiting", { message, retry_ms });
      await sleep(retry_ms, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
    }
  }

  send(frame: FromAgent): boolean {
    return this.#session?.send(frame) ?? false;
  }

  /** Says goodbye to the edge; resolves within a second. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    const session = this.#session;
    if (session === undefined) return;
    session.close(1001, "the agent is stopping");
    const closed = session.ended.then(() => true);
    const timer = sleep(CLOSE_TIMEOUT_MS, false, { ref: false });
    if (!(await Promise.race([closed, timer]))) session.drop("the edge did not close");
  }

  async #dial(): Promise<SessionEnd> {
    const { identity, log } = this.#options;
    try {
      // Before the dial: a host whose hypervisor does not answer must look down, not up and empty.
      const hello = await withDeadline(this.#options.hello(), HELLO_TIMEOUT_MS);
      const assertion = await identity.assertion();
      if (this.#stopping.signal.aborted) return { welcomed: false, lasting: false, why: "stopping" };
      const session = new LinkSession({
        url: socketUrl(identity.edge, LINK_PATH),
        assertion,
        hello,
        onCall: (call) => this.#options.onCall(call),
        onAck: (call) => this.#options.onAck(call),
        onDeleted: (guests) => this.#options.onDeleted(guests),
        onConsoleNoted: (leg) => this.#options.onConsoleNoted(leg),
        onHeard: (at) => this.#options.onHeard?.(at),
        onWelcome: (lease, at) => {
          log("link.up", { message: `connected to ${identity.edge} as ${identity.host}` });
          this.#options.onWelcome(lease, at);
        },
        log,
      });
      this.#session = session;
      return await session.ended;
    } catch (error) {
      return { welcomed: false, lasting: false, why: `cannot say hello: ${networkReason(error)}` };
    } finally {
      this.#session = undefined;
    }
  }
}

async function withDeadline<T>(work: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Failure(`the hypervisor did not answer within ${ms / 1000} s`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
