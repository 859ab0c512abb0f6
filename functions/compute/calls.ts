/** The calls to one host's agent: durable ones are kept until their outcome is, the others live as long as the link. */
import { log } from "../log.ts";
import type { CallError, Outcome, Progress } from "../protocol/frames.ts";
import { METHODS, type Method, type Params } from "../protocol/methods.ts";
import type { CallReply, CallRequest } from "./call.ts";
import type { HostStore } from "./host-store.ts";
import { type Link, send } from "./link.ts";
import { Waiters } from "./waiters.ts";

/** How long a person's request waits for the agent: to find a screen, or to open one. */
const ASK_TIMEOUT_MS = 10_000;

const failed = (code: CallError["code"], message: string): Outcome => ({ ok: false, error: { code, message } });
const SENT_AWAY = failed("StaleGeneration", "The server was sent away.");
const OFFLINE = failed("HypervisorUnavailable", "The server's host is not connected.");
const LATE = failed("HypervisorUnavailable", "The host did not answer in time.");

/** A durable call that has just been settled, and whether somebody waited for it. */
export type Settled = { call: CallRequest; outcome: Outcome; waited: boolean };

export class Calls {
  readonly #store: HostStore;
  readonly #link: Link;
  readonly #timeoutMs: number;
  readonly #replies = new Waiters<CallReply>();
  readonly #answers = new Waiters<Outcome>();
  /** By server: what its agent told last of a call that is under way. */
  readonly #progress = new Map<string, Progress>();

  constructor(store: HostStore, link: Link, timeoutMs: number) {
    this.#store = store;
    this.#link = link;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Has the agent do a durable call, once however often it is asked for; waits for the outcome for `timeoutMs`. Asked
   * for when nobody waits any more, it is sent again: the call or its answer may have been lost on the way.
   */
  async call(request: CallRequest): Promise<CallReply> {
    if (request.method !== "destroy" && this.#store.isDismissed(request.server, request.generation)) {
      return { kind: "settled", outcome: SENT_AWAY };
    }
    const known = this.#store.call(request.id);
    if (known?.outcome) return { kind: "settled", outcome: known.outcome };
    if (known === null) this.#store.addCall(request);
    const ws = this.#link.current();
    if (ws === null) return { kind: "waiting", connected: false };
    if (!this.#replies.has(request.id)) sendCall(ws, request);
    return this.#replies.wait(request.id, this.#timeoutMs, { kind: "waiting", connected: true });
  }

  /** Ends the server's guest. */
  destroy(server: string, generation: number): Promise<CallReply> {
    return this.call({ id: `${server}:${generation}:destroy`, server, generation, method: "destroy", params: {} });
  }

  /** Asks what needs no memory: the answer comes now, or not at all. */
  async ask<M extends Method>(method: M, server: string, generation: number, params: Params<M>): Promise<Outcome> {
    const ws = this.#link.current();
    if (ws === null) return OFFLINE;
    const id = `ask:${crypto.randomUUID()}`;
    sendCall(ws, { id, server, generation, method, params });
    return checked(method, await this.#answers.wait(id, ASK_TIMEOUT_MS, LATE));
  }

  /** Gives up all that is under way for a server that is sent away, but its destroy. */
  giveUp(server: string): void {
    for (const call of this.#store.openCallsOf(server)) {
      if (call.method === "destroy") continue;
      this.#store.dropCall(call.id);
      this.#replies.settle(call.id, { kind: "settled", outcome: SENT_AWAY });
    }
  }

  /** Sends a newly linked agent all that is not settled. */
  resume(ws: WebSocket): void {
    for (const call of this.#store.openCalls()) sendCall(ws, call);
  }

  /** Takes an agent's word for how far a call has come. It is worth no write, and goes with this object. */
  progressed(progress: Progress): void {
    const known = this.#store.call(progress.call);
    if (known?.outcome === null) this.#progress.set(known.server, progress);
  }

  /** How far the call has come that is under way for the server; null when nothing was told of one. */
  progress(server: string): Progress | null {
    const told = this.#progress.get(server);
    if (told === undefined) return null;
    if (this.#store.call(told.call)?.outcome === null) return told;
    this.#progress.delete(server);
    return null;
  }

  /** The link has ended: who waits is told so, and may ask again. */
  unlinked(): void {
    this.#replies.settleAll({ kind: "waiting", connected: false });
    this.#answers.settleAll(OFFLINE);
  }

  /**
   * Takes an outcome from the agent: stores it, acknowledges it, and wakes who waits for it. Null when it settles
   * nothing new: it was an answer, was told before, or its server has gone.
   */
  result(ws: WebSocket, id: string, outcome: Outcome): Settled | null {
    if (this.#answers.settle(id, outcome)) return null;
    const call = this.#store.call(id);
    if (call === null || call.outcome !== null) {
      this.#replies.settle(id, { kind: "settled", outcome });
      send(ws, { t: "ack", call: id });
      return null;
    }
    this.#progress.delete(call.server);
    const known = checked(call.method, outcome);
    if (!known.ok) log("call.failed", { server: call.server, method: call.method, ...known.error });
    // A destroy that failed is asked for anew, by whoever waits for it or by the next report.
    if (call.method === "destroy" && !known.ok) this.#store.dropCall(id);
    else this.#store.settleCall(id, known);
    const waited = this.#replies.settle(id, { kind: "settled", outcome: known });
    send(ws, { t: "ack", call: id });
    return { call, outcome: known, waited };
  }
}

function sendCall(ws: WebSocket, { id, server, generation, method, params }: CallRequest): void {
  send(ws, { t: "call", id, server, generation, method, params });
}

/** An agent's outcome with its value checked against the method's shape. */
function checked(method: Method, outcome: Outcome): Outcome {
  if (!outcome.ok) return outcome;
  const value = METHODS[method].value.safeParse(outcome.value);
  if (value.success) return { ok: true, value: value.data };
  return failed("Unexpected", `The agent's answer to ${method} has a wrong shape.`);
}
