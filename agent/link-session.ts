/** One dial of the control link, from the upgrade to the close. The flow is drawn in functions/protocol/frames.ts. */
import { uptime } from "node:os";
import { WebSocket } from "ws";
import {
  type CallFrame,
  CLOSE,
  type DeletedGuest,
  decodeToAgent,
  encode,
  type FromAgent,
  MAX_FRAME_CHARS,
  type Outcome,
  PING,
  PONG,
  type ToAgent,
  VERSIONS,
} from "../functions/protocol/frames.ts";
import { describe, networkReason } from "./failure.ts";
import type { Log } from "./log.ts";
import { onRefusal } from "./refusal.ts";

/** Unicode takes up to 4 bytes a character on the wire. */
const MAX_PAYLOAD_BYTES = MAX_FRAME_CHARS * 4;
const HANDSHAKE_TIMEOUT_MS = 15_000;
const WELCOME_TIMEOUT_MS = 30_000;
/** So many report intervals without a pong, and the link is dead. */
const MAX_SILENT_INTERVALS = 2;

/** Close codes that dialling again at once will not mend, and what each means to the person who reads the log. */
const LASTING: ReadonlyMap<number, string> = new Map([
  [CLOSE.BAD_FRAME, "the edge could not read what this agent sent: are both of the same release?"],
  [CLOSE.WRONG_HOST, "the edge says that this agent's key belongs to another host"],
  [CLOSE.NO_COMMON_VERSION, "the edge speaks no protocol version that this agent speaks: update the agent"],
  [CLOSE.REPLACED, "another agent connected under this host's name: only one may run"],
  [CLOSE.TOO_BIG, "the edge found a frame of this agent too big"],
  [CLOSE.REVOKED, "this host was removed from the edge: enrol it again to use it"],
]);

/** `lasting`: the same will happen at the next dial, unless somebody changes something. */
export type SessionEnd = { welcomed: boolean; lasting: boolean; why: string };
export type ConsoleNoted = Extract<ToAgent, { t: "console_noted" }>;
type Welcome = Extract<ToAgent, { t: "welcome" }>;
export type SessionOptions = {
  url: string;
  assertion: string;
  hello: FromAgent;
  onCall(call: CallFrame): Promise<Outcome>;
  onAck(call: string): void;
  onDeleted(guests: readonly DeletedGuest[]): void;
  /** The edge has stored that this connection of a console is closed. */
  onConsoleNoted(leg: ConsoleNoted): void;
  /** `lease`: how long guests may run without word of the edge, seconds; `at`: when the hello was sent. */
  onWelcome(lease: number | undefined, at: number): void;
  /** The edge answered what was sent at `at`, seconds since the host's boot. */
  onHeard(at: number): void;
  log: Log;
};

export class LinkSession {
  readonly ended: Promise<SessionEnd>;
  readonly #options: SessionOptions;
  readonly #ws: WebSocket;
  #welcomed = false;
  #silentIntervals = 0;
  #helloAt = 0;
  /** When the pings were sent that have no answer yet, the first first. */
  readonly #pinged: number[] = [];
  #timer: NodeJS.Timeout | undefined;
  #why: string | undefined;
  #lasting = false;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#ws = new WebSocket(options.url, {
      headers: { authorization: `Bearer ${options.assertion}` },
      perMessageDeflate: false,
      maxPayload: MAX_PAYLOAD_BYTES,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    });
    this.ended = new Promise((resolve) => {
      this.#ws.once("close", (code, reason) => resolve(this.#end(code, reason.toString())));
    });
    this.#ws.on("error", (error) => this.#because(networkReason(error)));
    this.#ws.on("open", () => this.#open());
    this.#ws.on("message", (data, isBinary) => this.#message(isBinary ? "" : String(data)));
    onRefusal(this.#ws, ({ status, why }) => {
      this.#because(why, status === 401 || status === 403 || status === 426);
    });
  }

  /** False when the link is not up; the frame is then dropped, and the next hello says what it would have said. */
  send(frame: FromAgent): boolean {
    if (!this.#welcomed || this.#ws.readyState !== WebSocket.OPEN) return false;
    this.#ws.send(encode(frame));
    return true;
  }

  close(code: number, reason: string): void {
    this.#because(reason);
    this.#ws.close(code, reason);
  }

  /** Ends the session without waiting for the edge to agree. */
  drop(why: string): void {
    this.#because(why);
    this.#ws.terminate();
  }

  #open(): void {
    this.#helloAt = uptime();
    this.#ws.send(encode(this.#options.hello));
    this.#timer = setTimeout(() => this.drop("the edge did not answer the hello"), WELCOME_TIMEOUT_MS);
  }

  #message(text: string): void {
    if (text === PONG) {
      this.#silentIntervals = 0;
      const at = this.#pinged.shift();
      if (at !== undefined) this.#options.onHeard(at);
      return;
    }
    const decoded = decodeToAgent(text);
    // A newer edge may send kinds of frames that this agent does not know: they are not for it.
    if (decoded.kind === "unknown") return;
    if (decoded.kind === "invalid") this.#options.log("link.bad_frame", { message: decoded.reason });
    else this.#frame(decoded.frame);
  }

  #frame(frame: ToAgent): void {
    switch (frame.t) {
      case "welcome":
        this.#welcome(frame);
        break;
      case "call":
        void this.#answer(frame);
        break;
      case "ack":
        this.#options.onAck(frame.call);
        break;
      case "deleted":
        this.#options.onDeleted(frame.guests);
        break;
      case "console_noted":
        this.#options.onConsoleNoted(frame);
        break;
      default:
        frame satisfies never;
    }
  }

  #welcome({ version, report_interval: reportIntervalS, lease }: Welcome): void {
    if (this.#welcomed) return;
    if (version < VERSIONS.min || version > VERSIONS.max) {
      this.#because(`the edge chose protocol version ${version}, which this agent does not speak`, true);
      this.#ws.close(CLOSE.NO_COMMON_VERSION);
      return;
    }
    this.#welcomed = true;
    clearTimeout(this.#timer);
    this.#timer = setInterval(() => this.#beat(), reportIntervalS * 1000);
    this.#ping();
    this.#options.onWelcome(lease, this.#helloAt);
  }

  #beat(): void {
    this.#silentIntervals += 1;
    if (this.#silentIntervals > MAX_SILENT_INTERVALS) this.drop("the edge has stopped answering");
    else this.#ping();
  }

  #ping(): void {
    this.#pinged.push(uptime());
    this.#ws.send(PING);
  }

  /**
   * Answers on the link that the call came on, or not at all: the edge sends every call that is not settled again on the
   * next link, and hears the outcome there.
   */
  async #answer(call: CallFrame): Promise<void> {
    try {
      const outcome = await this.#options.onCall(call);
      this.send({ t: "result", call: call.id, outcome });
    } catch (error) {
      this.#options.log("link.answer_failed", { call: call.id, message: describe(error) });
    }
  }

  /** The first reason is the true one: what follows is its consequence. */
  #because(why: string, lasting = false): void {
    if (this.#why !== undefined) return;
    this.#why = why;
    this.#lasting = lasting;
  }

  #end(code: number, reason: string): SessionEnd {
    clearTimeout(this.#timer);
    const meaning = LASTING.get(code);
    const said = reason === "" ? `the link closed with code ${code}` : `the link closed with code ${code}: ${reason}`;
    this.#because(meaning ?? said, meaning !== undefined);
    return { welcomed: this.#welcomed, lasting: this.#lasting, why: this.#why ?? said };
  }
}
