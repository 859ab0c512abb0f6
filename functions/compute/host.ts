/**
 * One compute host: its agent's control socket, its claims, its calls (nova-compute's half at the edge).
 * The socket hibernates; heartbeats are answered by the runtime and wake nobody.
 */
import { DurableObject } from "cloudflare:workers";
import { config } from "../config.ts";
import { causeOf, log } from "../log.ts";
import {
  agree,
  CLOSE,
  decodeFromAgent,
  encode,
  type FromAgent,
  MAX_FRAME_CHARS,
  type Outcome,
  PING,
  PONG,
  VERSIONS,
} from "../protocol/frames.ts";
import { type GuestReport, type Inventory, POWER_STATE, type VncAddress, vncAddress } from "../protocol/guest.ts";
import { METHODS, type Method, type Params } from "../protocol/methods.ts";
import { err, ok, type Result } from "../result.ts";
import type { HostState } from "../scheduler/host-state.ts";
import { migrate, migrateExisting } from "../store/migrate.ts";
import type { CallReply, CallRequest } from "./call.ts";
import { capacity, lacking, type Resources } from "./claims.ts";
import { HostStore, MIGRATIONS } from "./host-store.ts";
import { Waiters } from "./waiters.ts";

/** How long a person's request waits for the agent: to find a screen, or to open one. */
const ASK_TIMEOUT_MS = 10_000;

/** Survives hibernation with the socket. `ready` once hello was answered. */
type Link = { linked_at: number; ready: boolean };
type Service = { uuid: string; created_at: string; inventory: Inventory };

export type ClaimRequest = Resources & { server: string; generation: number };
export type ClaimRefused = { kind: "down" } | { kind: "dismissed" } | { kind: "lacking"; classes: string[] };
export type Left = { state: "gone" } | { state: "leaving"; connected: boolean };

export class Host extends DurableObject<Env> {
  readonly #store: HostStore;
  readonly #calls = new Waiters<CallReply>();
  readonly #asks = new Waiters<Outcome>();
  #lastSeq = 0;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    migrateExisting(ctx.storage, MIGRATIONS);
    this.#store = new HostStore(ctx.storage.sql);
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(PING, PONG));
  }

  /** The agent's upgrade; the Worker has proved that the caller holds this host's key. A newer link replaces the old. */
  override fetch(): Response {
    migrate(this.ctx.storage, MIGRATIONS);
    for (const old of this.ctx.getWebSockets()) old.close(CLOSE.REPLACED, "another link of this host came");
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server);
    server.serializeAttachment({ linked_at: Date.now(), ready: false } satisfies Link);
    return new Response(null, { status: 101, webSocket: client });
  }

  /** Takes resources for a server, or says why not. The same claim again is the same claim (nova: Claim). */
  claim(request: ClaimRequest): Result<{ node: string }, ClaimRefused> {
    const service = this.#service();
    if (service === null || this.#link() === null) {
      this.#later(this.#publish());
      return err({ kind: "down" });
    }
    if (this.#store.isDismissed(request.server, request.generation)) return err({ kind: "dismissed" });
    const node = service.inventory.hypervisor_hostname;
    if (this.#store.allocation(request.server) !== null) return ok({ node });
    const classes = lacking(capacity(service.inventory, config(this.env)), this.#store.used(), request);
    if (classes.length === 0) this.#store.allocate(request.server, request.generation, request);
    this.#later(this.#publish());
    return classes.length === 0 ? ok({ node }) : err({ kind: "lacking", classes });
  }

  /**
   * Sends a server away: ends its guest, then frees its claim. Whatever was asked for this incarnation before, and is
   * still under way, is refused from now on. While the agent is away the claim is kept and "leaving" is the answer.
   */
  async dismiss({ server, generation }: { server: string; generation: number }): Promise<Left> {
    if (!migrateExisting(this.ctx.storage, MIGRATIONS)) return { state: "gone" };
    this.#store.dismiss(server, generation, Date.now());
    for (const call of this.#store.openCallsOf(server)) {
      if (call.method === "destroy") continue;
      this.#store.dropCall(call.id);
      this.#calls.settle(call.id, {
        kind: "settled",
        outcome: { ok: false, error: { code: "StaleGeneration", message: "The server was sent away." } },
      });
    }
    if (this.#store.allocation(server) === null) return { state: "gone" };
    this.#store.setLeaving(server);
    const reply = await this.#destroy(server, generation);
    if (reply.kind === "waiting") return { state: "leaving", connected: reply.connected };
    return reply.outcome.ok ? { state: "gone" } : { state: "leaving", connected: true };
  }

  /** Has the agent do a call, once however often it is asked; waits for its outcome for RPC_RESPONSE_TIMEOUT. */
  async call(request: CallRequest): Promise<CallReply> {
    if (this.#store.isDismissed(request.server, request.generation)) {
      const error = { code: "StaleGeneration" as const, message: "The server was sent away." };
      return { kind: "settled", outcome: { ok: false, error } };
    }
    return this.#call(request);
  }

  /** Takes a call back that nobody waits for any more. The agent may have done it; its next report tells. */
  withdraw(id: string): void {
    this.#store.dropCall(id);
  }

  /** Where the guest's VNC server listens on the host, or why there is none, as a sentence. */
  async vncConsole(server: string, generation: number): Promise<Result<VncAddress, string>> {
    const outcome = await this.#ask("get_vnc_console", server, generation, {});
    if (!outcome.ok) return err(outcome.error.message);
    const address = vncAddress.safeParse(outcome.value);
    return address.success ? ok(address.data) : err("the host named no screen");
  }

  /** Has the agent connect the guest's screen and dial in for one console session. */
  openConsole(server: string, generation: number, params: Params<"open_console">): Promise<Outcome> {
    return this.#ask("open_console", server, generation, params);
  }

  /** What the scheduler sees of this host; null before its agent first said hello. */
  state(): HostState | null {
    const service = this.#service();
    if (service === null) return null;
    return {
      host: this.#name(),
      uuid: service.uuid,
      seq: this.#nextSeq(),
      up: this.#link() !== null,
      enabled: true,
      inventory: service.inventory,
      capacity: capacity(service.inventory, config(this.env)),
      used: this.#store.used(),
    };
  }

  override webSocketMessage(ws: WebSocket, message: string | ArrayBuffer): void {
    // The runtime answers heartbeats; one that came before it was told to, as after an eviction, comes here.
    if (message === PING) ws.send(PONG);
    else if (typeof message !== "string") this.#refuse(ws, CLOSE.BAD_FRAME, "frames are text");
    else if (message.length > MAX_FRAME_CHARS) this.#refuse(ws, CLOSE.TOO_BIG, "frame is too big");
    else this.#receive(ws, message);
  }

  #receive(ws: WebSocket, message: string): void {
    const decoded = decodeFromAgent(message);
    if (decoded.kind === "invalid") this.#refuse(ws, CLOSE.BAD_FRAME, decoded.reason);
    if (decoded.kind !== "frame") return;
    const { frame } = decoded;
    if (frame.t === "hello") this.#hello(ws, frame);
    else if (!attached(ws)?.ready) this.#refuse(ws, CLOSE.BAD_FRAME, "hello comes first");
    else if (frame.t === "result") this.#result(ws, frame.call, frame.outcome);
    else if (frame.t === "report") this.#compare(frame.guests);
    else {
      this.#saveInventory(frame.inventory);
      this.#later(this.#publish());
    }
  }

  override webSocketClose(ws: WebSocket): void {
    log("host.unlinked", { host: this.#name() });
    // The new link's object state must survive the old one's end: only a host left without a link is down.
    if (this.ctx.getWebSockets().some((other) => other !== ws && attached(other)?.ready)) return;
    this.#calls.settleAll({ kind: "waiting", connected: false });
    this.#asks.settleAll(offline());
    this.#later(this.#publish());
  }

  override webSocketError(ws: WebSocket): void {
    this.webSocketClose(ws);
  }

  #hello(ws: WebSocket, frame: Extract<FromAgent, { t: "hello" }>): void {
    const version = agree(VERSIONS, frame.versions);
    if (frame.host !== this.#name()) this.#refuse(ws, CLOSE.WRONG_HOST, "this link belongs to another host");
    else if (version === null) this.#refuse(ws, CLOSE.NO_COMMON_VERSION, "no protocol version in common");
    else this.#welcome(ws, frame, version);
  }

  #welcome(ws: WebSocket, frame: Extract<FromAgent, { t: "hello" }>, version: number): void {
    this.#saveInventory(frame.inventory);
    ws.serializeAttachment({ linked_at: Date.now(), ready: true } satisfies Link);
    ws.send(encode({ t: "welcome", version, report_interval: config(this.env).REPORT_INTERVAL }));
    log("host.linked", { host: frame.host, agent: frame.agent, version, guests: frame.guests.length });
    for (const call of this.#store.openCalls()) sendCall(ws, call);
    this.#later(this.#publish());
    this.#compare(frame.guests);
    this.#findMissing(frame.guests);
  }

  /** Stores an outcome before it is acknowledged; the agent sends it again until then. */
  #result(ws: WebSocket, id: string, outcome: Outcome): void {
    const ack = () => ws.send(encode({ t: "ack", call: id }));
    if (this.#asks.settle(id, outcome)) return;
    const call = this.#store.call(id);
    if (call === null || call.outcome !== null) {
      // Forgotten with its server, or told twice: whoever still waits for it is told all the same.
      this.#calls.settle(id, { kind: "settled", outcome });
      ack();
      return;
    }
    const checked = checkedOutcome(call.method, outcome);
    // A destroy that failed is asked for anew, by whoever waits for it or by the next report.
    if (call.method === "destroy" && !checked.ok) this.#store.dropCall(id);
    else this.#store.settleCall(id, checked);
    const power = checked.ok ? checked.value : null;
    if (power && typeof power === "object" && "power_state" in power) {
      this.#store.setPower(call.server, call.generation, power.power_state as GuestReport["power_state"]);
    }
    if (call.method === "destroy" && checked.ok) this.#store.free(call.server);
    const waited = this.#calls.settle(id, { kind: "settled", outcome: checked });
    ack();
    if (call.method === "destroy" && checked.ok) this.#later(this.#publish());
    if (!waited) this.#later(this.env.SERVER.getByName(call.server).settled());
  }

  /** Tells the servers what changed since they were last told, and ends guests whose servers know that they are gone. */
  #compare(guests: readonly GuestReport[]): void {
    for (const guest of guests) {
      const allocation = this.#store.allocation(guest.server);
      if (allocation === null) this.#later(this.#strange(guest));
      else if (allocation.leaving) this.#later(this.#destroy(guest.server, allocation.generation));
      else if (allocation.power_state !== guest.power_state) this.#later(this.#tell(guest));
    }
  }

  /** Claims whose guest was not reported, and is not being made: the guest vanished. */
  #findMissing(guests: readonly GuestReport[]): void {
    const reported = new Set(guests.map((guest) => guest.server));
    for (const { server, generation, leaving, power_state } of this.#store.allocations()) {
      if (reported.has(server)) continue;
      if (leaving) this.#later(this.#destroy(server, generation));
      if (leaving || power_state === POWER_STATE.NOSTATE || this.#store.openCallsOf(server).length > 0) continue;
      this.#later(this.#tell({ server, generation, power_state: POWER_STATE.NOSTATE }));
    }
  }

  /** Work that a frame begins and does not wait for. What fails is begun anew by the next report. */
  #later(work: Promise<unknown>): void {
    this.ctx.waitUntil(work.catch((error) => log("host.work_failed", { host: this.#name(), cause: causeOf(error) })));
  }

  async #tell(guest: GuestReport): Promise<void> {
    const taken = await this.env.SERVER.getByName(guest.server).guestReported(this.#name(), guest);
    if (taken) this.#store.setPower(guest.server, guest.generation, guest.power_state);
  }

  /** A guest without a claim: ended only if its server says that it does not belong here. */
  async #strange(guest: GuestReport): Promise<void> {
    const belongs = await this.env.SERVER.getByName(guest.server).guestBelongs(this.#name());
    log("guest.unclaimed", { host: this.#name(), server: guest.server, belongs });
    if (belongs !== "no" || this.#store.allocation(guest.server) !== null) return;
    await this.#destroy(guest.server, guest.generation);
  }

  #destroy(server: string, generation: number): Promise<CallReply> {
    return this.#call({ id: `${server}:${generation}:destroy`, server, generation, method: "destroy", params: {} });
  }

  async #call(request: CallRequest): Promise<CallReply> {
    const known = this.#store.call(request.id);
    if (known?.outcome) return { kind: "settled", outcome: known.outcome };
    if (known === null) this.#store.addCall(request);
    const link = this.#link();
    if (link === null) return { kind: "waiting", connected: false };
    if (known === null) sendCall(link, request);
    const timeoutMs = config(this.env).RPC_RESPONSE_TIMEOUT * 1000;
    return this.#calls.wait(request.id, timeoutMs, { kind: "waiting", connected: true });
  }

  async #ask<M extends Method>(method: M, server: string, generation: number, params: Params<M>): Promise<Outcome> {
    const link = this.#link();
    if (link === null) return offline();
    const id = `ask:${crypto.randomUUID()}`;
    sendCall(link, { id, server, generation, method, params });
    const late = { code: "HypervisorUnavailable" as const, message: "The host did not answer in time." };
    return checkedOutcome(method, await this.#asks.wait(id, ASK_TIMEOUT_MS, { ok: false, error: late }));
  }

  /** The socket to the agent; null when there is none, or no heartbeat came on it for SERVICE_DOWN_TIME. */
  #link(): WebSocket | null {
    for (const ws of this.ctx.getWebSockets()) {
      const link = attached(ws);
      if (!link?.ready || ws.readyState !== WebSocket.READY_STATE_OPEN) continue;
      const heard = Math.max(link.linked_at, this.ctx.getWebSocketAutoResponseTimestamp(ws)?.getTime() ?? 0);
      if (Date.now() - heard <= config(this.env).SERVICE_DOWN_TIME * 1000) return ws;
    }
    return null;
  }

  #service(): Service | null {
    return this.ctx.storage.kv.get<Service>("service") ?? null;
  }

  #saveInventory(inventory: Inventory): void {
    const known = this.#service() ?? { uuid: crypto.randomUUID(), created_at: new Date().toISOString() };
    this.ctx.storage.kv.put("service", { ...known, inventory } satisfies Service);
  }

  /** Tells the scheduler how this host is now. What it misses it hears at the next claim: it proposes, we dispose. */
  async #publish(): Promise<void> {
    const state = this.state();
    if (state !== null) await this.env.SCHEDULER.getByName("default").updateHost(state);
  }

  #nextSeq(): number {
    this.#lastSeq = Math.max(this.#lastSeq + 1, Date.now());
    return this.#lastSeq;
  }

  #name(): string {
    return this.ctx.id.name ?? "";
  }

  #refuse(ws: WebSocket, code: number, reason: string): void {
    log("agent.refused", { host: this.#name(), code, reason });
    ws.close(code, reason);
  }
}

function attached(ws: WebSocket): Link | null {
  return ws.deserializeAttachment() as Link | null;
}

function sendCall(ws: WebSocket, { id, server, generation, method, params }: CallRequest): void {
  ws.send(encode({ t: "call", id, server, generation, method, params }));
}

/** An agent's outcome with its value checked against the method's shape. */
function checkedOutcome(method: Method, outcome: Outcome): Outcome {
  if (!outcome.ok) return outcome;
  const value = METHODS[method].value.safeParse(outcome.value);
  if (value.success) return { ok: true, value: value.data };
  return { ok: false, error: { code: "Unexpected", message: `The agent's answer to ${method} has a wrong shape.` } };
}

function offline(): Outcome {
  return { ok: false, error: { code: "HypervisorUnavailable", message: "The server's host is not connected." } };
}
