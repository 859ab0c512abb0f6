/**
 * One compute host: its agent's link, its claims, its calls (nova-compute's half at the edge).
 * The socket hibernates; heartbeats are answered by the runtime and wake nobody.
 */
import { DurableObject } from "cloudflare:workers";
import { config } from "../config.ts";
import { causeOf, log } from "../log.ts";
import {
  agree,
  CAPABILITY,
  type CallError,
  CLOSE,
  type ConsoleClosed,
  decodeFromAgent,
  type FromAgent,
  MAX_FRAME_CHARS,
  type Outcome,
  PING,
  PONG,
  type Progress,
  VERSIONS,
} from "../protocol/frames.ts";
import { type GuestReport, powerState, type VncAddress, vncAddress } from "../protocol/guest.ts";
import type { Method, Params } from "../protocol/methods.ts";
import { err, ok, type Result } from "../result.ts";
import { gist, type HostState, type ServiceStatus } from "../scheduler/host-state.ts";
import { migrate, migrateExisting } from "../store/migrate.ts";
import type { CallReply, CallRequest } from "./call.ts";
import { Calls, type Settled } from "./calls.ts";
import { type ClaimRefused, type ClaimRequest, lacking } from "./claims.ts";
import { Departures } from "./departures.ts";
import { Guests } from "./guests.ts";
import { HostStore, MIGRATIONS, type Size } from "./host-store.ts";
import { Link, send } from "./link.ts";
import { Resizes } from "./resizes.ts";
import { roomOf } from "./service.ts";
import { ServiceRecord } from "./service-record.ts";
import { Watch } from "./watch.ts";

type Hello = Extract<FromAgent, { t: "hello" }>;

export type Left = { state: "gone" } | { state: "leaving"; connected: boolean } | { state: "failed"; error: CallError };

/** What keeps a host's disks busy while it lasts (nova: HostState.num_io_ops). */
const BUSY: ReadonlySet<Method> = new Set([
  "spawn",
  "rebuild",
  "snapshot",
  "upload_snapshot",
  "send_disks",
  "receive_disks",
  "live_migration",
] as const);

export class Host extends DurableObject<Env> {
  readonly #store: HostStore;
  readonly #service: ServiceRecord;
  readonly #link: Link;
  readonly #calls: Calls;
  readonly #watch: Watch;
  readonly #guests: Guests;
  readonly #departures: Departures;
  readonly #resizes: Resizes;
  #lastSeq = 0;
  /** Whether the scheduler has all that this object had to tell: one that came after a crash cannot know what was cut off. */
  #heard = false;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    migrateExisting(ctx.storage, MIGRATIONS);
    const { REPORT_INTERVAL, SERVICE_DOWN_TIME, RPC_RESPONSE_TIMEOUT, MAX_CONCURRENT_LIVE_MIGRATIONS } = config(env);
    const times = { reportMs: REPORT_INTERVAL * 1000, downMs: SERVICE_DOWN_TIME * 1000 };
    this.#store = new HostStore(ctx.storage.sql);
    this.#service = new ServiceRecord(ctx.storage.kv);
    this.#link = new Link(ctx, times.downMs);
    this.#watch = new Watch(ctx.storage, this.#link, times);
    this.#calls = new Calls(this.#store, this.#link, RPC_RESPONSE_TIMEOUT * 1000);
    const calls = this.#calls;
    const parts = { store: this.#store, env, host: this.#name(), later: (work: Promise<unknown>) => this.#later(work) };
    this.#guests = new Guests({ ...parts, link: this.#link, calls });
    this.#departures = new Departures({ ...parts, calls, most: MAX_CONCURRENT_LIVE_MIGRATIONS });
    this.#resizes = new Resizes({ ...parts, calls });
    // What an idle fleet costs: this line, counted.
    log("host.woken", { host: this.#name() });
  }

  /** The agent's upgrade; the Worker has proved that the caller holds this host's key. */
  override fetch(): Response {
    migrate(this.ctx.storage, MIGRATIONS);
    return this.#link.accept();
  }

  /** The public key (JWK as JSON) that this host's agent enrolled with; null for none. */
  agentKey(): Promise<string | null> {
    return this.#service.agentKey(() => this.env.IDENTITY.getByName("default").agentKey(this.#name()));
  }

  /** The host was enrolled anew: its key may be another one. */
  enrolled(): void {
    this.#service.forgetAgentKey();
  }

  /** Takes resources for a server, or says why not. The same claim again is the same claim (nova: Claim). */
  claim(request: ClaimRequest): Result<{ node: string }, ClaimRefused> {
    const service = this.#service.get();
    if (service === null || this.#link.current() === null) {
      this.#later(this.#publish());
      return err({ kind: this.#watch.isUp() ? "away" : "down" });
    }
    if (this.#store.isDismissed(request.server, request.generation)) return err({ kind: "dismissed" });
    const node = service.inventory.hypervisor_hostname;
    const held = this.#store.allocation(request.server);
    const isLeft = held?.leaving || this.#store.evacuated().some(({ server }) => server === request.server);
    if (held !== null && isLeft) return err({ kind: "leaving" });
    const asked = request.resizes ? this.#resizes.asked(request) : held && "held";
    if (asked === "held") return ok({ node });
    if (asked !== null) return err({ kind: asked });
    const classes = lacking({ ...roomOf(service, config(this.env)), used: this.#store.used() }, request);
    if (classes.length === 0 && request.resizes) {
      this.#store.beginResize(request.server, request.generation, request);
    } else if (classes.length === 0) this.#store.allocate(request.server, request.generation, request);
    this.#later(this.#publish());
    return classes.length === 0 ? ok({ node }) : err({ kind: "lacking", classes });
  }

  /** Gives one of two sizes up that a server has here, up to this incarnation; its guest is as that is. */
  endResize(server: string, keep: Size, generation: number): void {
    if (!migrateExisting(this.ctx.storage, MIGRATIONS)) return;
    this.#store.endResize(server, keep, generation);
    this.#later(this.#publish());
  }

  /** Has the agent end a resize on this host that nobody goes on with, if there is one; then that size is given up. */
  settleResize(server: string, keep: Size, generation: number): void {
    if (migrateExisting(this.ctx.storage, MIGRATIONS)) this.#resizes.settle(server, keep, generation);
  }

  /**
   * Sends a server away: ends its guest, then frees its claim. Whatever was asked for this incarnation before, and is
   * still under way, is refused from now on. While the agent is away the claim is kept and "leaving" is the answer.
   * A guest that could not be ended keeps its claim too, and is ended when the agent reports it again.
   */
  async dismiss({ server, generation }: { server: string; generation: number }): Promise<Left> {
    if (!migrateExisting(this.ctx.storage, MIGRATIONS)) return { state: "gone" };
    this.#store.dismiss(server, generation, Date.now());
    this.giveTurn(server);
    this.#calls.giveUp(server);
    if (this.#store.allocation(server) === null) {
      // The scheduler may have counted on its coming.
      this.#later(this.#publish());
      return { state: "gone" };
    }
    this.#store.setLeaving(server);
    const reply = await this.#calls.destroy(server, generation);
    if (reply.kind === "waiting") return { state: "leaving", connected: reply.connected };
    if (reply.outcome.ok) return { state: "gone" };
    const { error } = reply.outcome;
    // A hypervisor that is away comes back, as an agent does.
    return error.code === "HypervisorUnavailable" ? { state: "leaving", connected: true } : { state: "failed", error };
  }

  /** A server is being built anew elsewhere: what is left of it here is not to run any more. */
  evacuating(server: string): void {
    migrate(this.ctx.storage, MIGRATIONS);
    this.#store.setEvacuated(server, this.evacuations().includes(server));
  }

  /** Sends a server away that was evacuated, and tells it when its guest is gone from here. */
  evacuated(guest: { server: string; generation: number }): Promise<Left> {
    migrate(this.ctx.storage, MIGRATIONS);
    this.#store.setEvacuated(guest.server, true);
    return this.dismiss(guest);
  }

  /** Servers that were evacuated, and whose guests may be here still. */
  evacuations(): string[] {
    if (this.#service.get() === null) return [];
    return this.#store.evacuated().flatMap(({ server, done }) => (done ? [server] : []));
  }

  /** Whether a server may leave alive now; it has its turn until it gives that back. */
  takeTurn(server: string): boolean {
    return this.#departures.takeTurn(server);
  }

  /** The server's live migration is over. */
  giveTurn(server: string): void {
    if (migrateExisting(this.ctx.storage, MIGRATIONS)) this.#departures.giveTurn(server);
  }

  /** Has the agent do a call, once however often it is asked; waits for its outcome for RPC_RESPONSE_TIMEOUT. */
  call(request: CallRequest): Promise<CallReply> {
    // One that could not be sent away, and is to be something new.
    if (!this.#store.isDismissed(request.server, request.generation)) this.#store.stay(request.server);
    const reply = this.#calls.call(request);
    // A spawn is known of since its claim.
    if (request.method !== "spawn" && BUSY.has(request.method)) this.#later(this.#publish());
    return reply;
  }

  /** Takes a call back that nobody waits for any more. The agent may have done it; its next report tells. */
  withdraw(id: string): void {
    this.#store.dropCall(id);
  }

  /** How far the agent has come with what is under way for the server; null when it told nothing. */
  progress(server: string): Progress | null {
    return this.#calls.progress(server);
  }

  /** Asks the agent for what needs no memory: its answer now, or why there is none. */
  ask<M extends Method>(method: M, server: string, generation: number, params: Params<M>): Promise<Outcome> {
    return this.#calls.ask(method, server, this.#incarnation(server, generation), params);
  }

  /** Where the guest's VNC server listens on the host, or why there is none, as a sentence. */
  async vncConsole(server: string, generation: number): Promise<Result<VncAddress, string>> {
    const outcome = await this.ask("get_vnc_console", server, generation, {});
    if (!outcome.ok) return err(outcome.error.message);
    const address = vncAddress.safeParse(outcome.value);
    return address.success ? ok(address.data) : err("the host named no screen");
  }

  /** Has the agent connect the guest's screen and dial in for one console session. */
  openConsole(server: string, generation: number, params: Params<"open_console">): Promise<Outcome> {
    return this.ask("open_console", server, generation, params);
  }

  /**
   * Whether its agent can be asked now, when it was last there (ms since the epoch; null: never), and the lease that it
   * keeps (seconds; null: none).
   */
  reach(): { connected: boolean; seen_at: number | null; lease: number | null } {
    return { connected: this.#link.current() !== null, seen_at: this.#watch.seenAt(), lease: this.#service.lease() };
  }

  /** What the scheduler sees of this host; null before its agent first said hello. */
  state(): HostState | null {
    const service = this.#service.get();
    if (service === null) return null;
    const seenAt = this.#watch.seenAt();
    const metrics = this.#link.metrics();
    const { capacity, ratios } = roomOf(service, config(this.env));
    return {
      host: this.#name(),
      uuid: service.uuid,
      seq: this.#nextSeq(),
      up: this.#watch.isUp() && !service.forced_down,
      connected: this.#link.current() !== null,
      enabled: service.enabled ?? true,
      disabled_reason: service.disabled_reason ?? null,
      forced_down: service.forced_down ?? false,
      updated_at: seenAt === null ? service.created_at : new Date(seenAt).toISOString(),
      inventory: { ...service.inventory, ...(metrics ? { metrics } : {}) },
      capacity,
      used: this.#store.used(),
      ratios,
      io_ops: this.#store.ioOps(),
      failed_builds: this.#service.failedBuilds(),
      image_properties: this.#store.imageProperties(),
    };
  }

  /** What an operator says of the service; null when there is none. The scheduler knows it when this returns. */
  async updateService(change: Partial<ServiceStatus>): Promise<HostState | null> {
    const service = this.#service.get();
    if (service === null) return null;
    this.#service.change(service, change);
    log("service.updated", { host: this.#name(), ...change });
    await this.#publish();
    return this.state();
  }

  /** Forgets the service, unless servers are here, and its agent's key with it: the host comes back by enrolling. */
  async deleteService(): Promise<Result<undefined, { kind: "in_use" }>> {
    const claims = this.#store.allocations();
    // One that is gone for good keeps claims of servers that were deleted since: they go with it.
    const gone = this.#link.current() === null && claims.every(({ leaving }) => leaving);
    if (claims.length > 0 && !gone) return err({ kind: "in_use" });
    for (const { server, generation } of claims) this.#store.free(server, generation);
    this.#service.forget();
    this.#watch.forget();
    await this.env.IDENTITY.getByName("default").removeAgent(this.#name());
    this.#link.close(CLOSE.REVOKED, "the host was removed");
    log("service.deleted", { host: this.#name() });
    await this.env.SCHEDULER.getByName("default").removeHost(this.#name(), this.#nextSeq());
    return ok();
  }

  /** The servers that have a claim here. */
  servers(): string[] {
    return this.#service.get() === null ? [] : this.#store.allocations().map(({ server }) => server);
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
    else if (!this.#link.isReady(ws)) this.#refuse(ws, CLOSE.BAD_FRAME, "hello comes first");
    else if (frame.t === "result") {
      const settled = this.#calls.result(ws, frame.call, frame.outcome);
      if (settled) this.#settled(settled);
    } else if (frame.t === "report") this.#compare(frame.guests);
    else if (frame.t === "progress") this.#calls.progressed(frame);
    else if (frame.t === "console_closed") this.#later(this.#consoleClosed(ws, frame));
    else {
      this.#service.saveInventory(frame.inventory, config(this.env));
      this.#link.keepMetrics(ws, frame.inventory.metrics);
      this.#later(this.#publish());
    }
  }

  /** The scheduler hears of it when the agent is not back by the next look: most are, as after their restart. */
  override webSocketClose(ws: WebSocket): void {
    log("host.unlinked", { host: this.#name() });
    // The runtime answers a close by itself, but not always when nothing but a write comes of it.
    ws.close();
    if (this.#link.remainsWithout(ws)) return;
    this.#calls.unlinked();
    const seenAt = this.#link.seenOn(ws);
    if (seenAt === null) return;
    this.#watch.unlinked(seenAt);
  }

  override webSocketError(ws: WebSocket): void {
    this.webSocketClose(ws);
  }

  /** Looks whether the agent lives, and tells the scheduler what it does not know of that. */
  override async alarm(info?: AlarmInvocationInfo): Promise<void> {
    if (this.#watch.look(info?.scheduledTime ?? Date.now())) {
      log("host.down", { host: this.#name(), seen_at: this.#watch.seenAt() });
      // An agent that lives after all dials again.
      this.#link.close(CLOSE.SILENT, "no heartbeat came in time");
    }
    await this.#publishNews();
  }

  #hello(ws: WebSocket, frame: Hello): void {
    const version = agree(VERSIONS, frame.versions);
    if (frame.host !== this.#name()) this.#refuse(ws, CLOSE.WRONG_HOST, "this link belongs to another host");
    else if (version === null) this.#refuse(ws, CLOSE.NO_COMMON_VERSION, "no protocol version in common");
    else this.#welcome(ws, frame, version);
  }

  #welcome(ws: WebSocket, frame: Hello, version: number): void {
    this.#service.saveInventory(frame.inventory, config(this.env));
    this.#link.makeReady(ws, frame.capabilities);
    this.#watch.linked();
    this.#link.keepMetrics(ws, frame.inventory.metrics);
    const { REPORT_INTERVAL: report_interval, FENCING_LEASE: lease } = config(this.env);
    this.#service.keepLease(lease > 0 && frame.capabilities.includes(CAPABILITY.FENCING) ? lease : null);
    send(ws, { t: "welcome", version, report_interval, ...(lease > 0 ? { lease } : {}) });
    log("host.linked", { host: frame.host, agent: frame.agent, version, guests: frame.guests.length });
    this.#calls.resume(ws);
    this.#later(this.#heard ? this.#publishNews() : this.#publish());
    this.#compare(frame.guests);
    this.#guests.findMissing(frame.guests, frame.resuming ?? []);
    this.#departures.tellGone();
  }

  #compare(guests: readonly GuestReport[]): void {
    this.#guests.compare(guests);
    this.#departures.keepOff(guests);
  }

  /** Has the server's console write down how a session of it ended; the agent says it again until that is noted. */
  async #consoleClosed(ws: WebSocket, closed: ConsoleClosed): Promise<void> {
    await this.env.CONSOLE.getByName(closed.server).closed(this.#name(), closed);
    send(ws, { t: "console_noted", session: closed.session, leg: closed.leg });
  }

  /** What a call that was just settled means for the claim, and for the saga that it belongs to. */
  #settled({ call, outcome, waited }: Settled): void {
    if (call.method === "destroy" && !outcome.ok) this.#later(this.#guests.destroyAgain(call));
    if (outcome.ok && call.method === "destroy") {
      this.#store.free(call.server, call.generation);
      this.#later(this.#publish());
      this.#departures.tellGone();
    } else if (outcome.ok) {
      const power = powerState.safeParse(outcome.value.power_state);
      if (power.success) this.#store.setPower(call.server, call.generation, power.data);
      if (this.#resizes.done(call)) this.#later(this.#publish());
    }
    if (call.method === "spawn") this.#service.countBuild(outcome.ok);
    if (BUSY.has(call.method)) this.#later(this.#publish());
    if (!waited) this.#later(this.env.SERVER.getByName(call.server).settled());
  }

  /** The incarnation that a screen of `generation` is of by now: of a guest that came with it, a later one. */
  #incarnation(server: string, generation: number): number {
    const held = this.#service.get() === null ? null : this.#store.allocation(server);
    const since = held?.screen_since ?? null;
    return held !== null && since !== null && generation >= since ? Math.max(generation, held.generation) : generation;
  }

  /** Work that a frame begins and does not wait for. What fails is begun anew by the next report. */
  #later(work: Promise<unknown>): void {
    this.ctx.waitUntil(work.catch((error) => log("host.work_failed", { host: this.#name(), cause: causeOf(error) })));
  }

  /** Tells the scheduler how this host is now. What it misses it hears at the next claim: it proposes, we dispose. */
  async #publish(): Promise<void> {
    const state = this.state();
    if (state === null) return;
    this.#heard = false;
    await this.env.SCHEDULER.getByName("default").updateHost(state);
    // A later word may be on its way, and be another one.
    if (state.seq !== this.#lastSeq) return;
    this.#heard = true;
    this.#service.tell(gist(state));
  }

  /** As well, but not what it was told before: a fleet that comes back as it was is no load on it. */
  async #publishNews(): Promise<void> {
    const state = this.state();
    if (state !== null && gist(state) !== this.#service.told()) await this.#publish();
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
