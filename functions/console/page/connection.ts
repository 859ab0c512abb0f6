/** One connection to a screen: from the WebSocket to the single cause of its end. */
import type RFB from "@novnc/novnc";
import type { FromPage, ToPage } from "../../protocol/console-presence.ts";
import { Channel } from "./channel.ts";
import { Heartbeat, LOOK_MS, type Verdict } from "./heartbeat.ts";
import type { Fault, Trouble } from "./trouble.ts";

/** For noVNC's own start, which takes about 0.1 s: a browser whose video decoder hangs must not hang the page. */
const LOAD_MS = 10_000;

export type ConnectionEvents = {
  connected(rfb: RFB): void;
  /** The VNC server's name for the screen. */
  named(name: string): void;
  said(frame: ToPage): void;
  /** The median round trip to the agent, in milliseconds. */
  latency(ms: number): void;
  /** The end, before noVNC hears of it and takes its picture away. */
  ending(): void;
};

export class Connection {
  /** Settles once, with the first cause: what follows (noVNC hanging up, the socket closing) is its echo. */
  readonly ended: Promise<Trouble>;
  readonly #end: (trouble: Trouble) => void;
  readonly #events: ConnectionEvents;
  readonly #heart = new Heartbeat(Date.now());
  #channel: Channel | null = null;
  #over = false;

  /**
   * Connects `target` to the screen behind `url`. noVNC keeps the close code to itself, so the socket is opened here and
   * lent to it.
   */
  constructor(target: HTMLElement, url: string, events: ConnectionEvents) {
    this.#events = events;
    let settle: (trouble: Trouble) => void = () => {};
    this.ended = new Promise((done) => {
      settle = done;
    });
    this.#end = (trouble) => {
      if (!this.#over) events.ending();
      this.#over = true;
      settle(trouble);
    };
    const looking = setInterval(() => this.#act(this.#heart.look(Date.now())), LOOK_MS);
    void this.ended.then(() => clearInterval(looking));
    this.#attach(target, url).catch(() => this.#fault("unloadable"));
  }

  say(frame: FromPage): void {
    this.#channel?.sendText(JSON.stringify(frame));
  }

  /** The network may be another one now. */
  probe(): void {
    this.#act(this.#heart.wake(Date.now()));
  }

  /** Hangs up without waiting for the other end. */
  abandon(): void {
    this.#channel?.abandon();
    this.#end({ kind: "closed", code: 1000, reason: "" });
  }

  /**
   * noVNC is loaded late because it awaits a decoder probe at its top level: the token must be out of the address bar,
   * and a failure must have words, before that.
   */
  async #attach(target: HTMLElement, url: string): Promise<void> {
    const late = new Promise<never>((_done, fail) => setTimeout(fail, LOAD_MS));
    const { default: Rfb } = await Promise.race([import("@novnc/novnc"), late]);
    if (this.#over) return;
    const channel = new Channel(url, {
      heard: () => this.#heart.heard(Date.now()),
      text: (frame) => this.#hear(frame),
      closed: ({ code, reason }) => this.#end({ kind: "closed", code, reason }),
    });
    this.#channel = channel;
    const rfb = new Rfb(target, channel, { shared: true });
    rfb.background = "transparent";
    rfb.addEventListener("connect", () => {
      this.#events.connected(rfb);
      this.#act("ping");
    });
    rfb.addEventListener("desktopname", (event) => this.#events.named(event.detail.name));
    rfb.addEventListener("securityfailure", (event) => this.#fault("declined", event.detail.reason));
    rfb.addEventListener("disconnect", () => this.#fault("garbled"));
    rfb.addEventListener("credentialsrequired", () => {
      this.#fault("credentials");
      rfb.disconnect();
    });
    rfb.addEventListener("serververification", () => {
      this.#fault("unverified");
      rfb.disconnect();
    });
  }

  #fault(fault: Fault, detail = ""): void {
    this.#end({ kind: "fault", fault, detail });
  }

  #act(verdict: Verdict): void {
    if (this.#over) return;
    if (verdict === "dead") this.#channel?.abandon();
    if (verdict === "ping") this.say({ t: "ping", at: Date.now() });
  }

  #hear(text: string): void {
    const frame = parse(text);
    if (frame?.t === "pong") {
      this.#heart.pong(frame.at, Date.now());
      const { latency } = this.#heart;
      if (latency !== null) this.#events.latency(latency);
    } else if (frame !== null) this.#events.said(frame);
  }
}

/** The agent may know more than this page: what has another shape is not for it. */
function parse(text: string): ToPage | null {
  try {
    const frame = JSON.parse(text) as ToPage | null;
    if (frame?.t === "pong" && typeof frame.at === "number") return frame;
    if (frame?.t === "asked" && typeof frame.by === "number") return frame;
    return frame?.t === "people" && Array.isArray(frame.people) ? frame : null;
  } catch {
    return null;
  }
}
