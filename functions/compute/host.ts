/**
 * One compute host: its agent's link, its claims, its calls (nova-compute's half at the edge).
 * The socket hibernates; heartbeats are answered by the runtime and wake nobody.
 */
import { DurableObject } from "cloudflare:workers";
import { config } from "../config.ts";
import { causeOf, log } from "../log.ts";
import {
  agree,
  CLOSE,
  decodeFromAgent,
  type FromAgent,
  MAX_FRAME_CHARS,
  type Outcome,
  PING,
  PONG,
  VERSIONS,
} from "../protocol/frames.ts";
import {
  type GuestReport,
  type Inventory,
  POWER_STATE,
  powerState,
  type VncAddress,
  vncAddress,
} from "../protocol/guest.ts";
import type { Method, Params } from "../protocol/methods.ts";
import { err, ok, type Result } from "../result.ts";
import type { HostState, ServiceStatus } from "../scheduler/host-state.ts";
import { migrate, migrateExisting } from "../store/migrate.ts";
import type { CallReply, CallRequest } from "./call.ts";
import { Calls, type Settled } from "./calls.ts";
import { capacity, lacking, type Resources } from "./claims.ts";
import { HostStore, MIGRATIONS } from "./host-store.ts";
import { Link, send } from "./link.ts";

type Hello = Extract<FromAgent, { t: "hello" }>;
type Service = { uuid: string; created_at: string; inventory: Inventory } & Partial<ServiceStatus>;

export type ClaimRequest = Resources & {
  server: string;
  generation: number;
  image_properties?: Record<string, string>;
};
export type ClaimRefused = { kind: "down" } | { kind: "dismissed" } | { kind: "lacking"; classes: string[] };
export type Left = { state: "gone" } | { state: "leaving"; connected: boolean };

/** What keeps a host's disks busy while it lasts (nova: HostState.num_io_ops). */
const BUSY: ReadonlySet<Method> = new Set(["spawn", "rebuild", "snapshot", "upload_snapshot"] as const);

const DESTROY_AGAIN_MS = 5_000;

export class Host extends DurableObject<Env> {
  readonly #store: HostStore;
  readonly #link: Link;
  readonly #calls: Calls;
  /** Servers whose destroy failed, and is to be asked for again. */
  readonly #again = new Set<string>();
  #lastSeq = 0;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    migrateExisting(ctx.storage, MIGRATIONS);
    const { SERVICE_DOWN_TIME, RPC_RESPONSE_TIMEOUT } = config(env);
    this.#store = new HostStore(ctx.storage.sql);
    this.#link = new Link(ctx, SERVICE_DOWN_TIME * 1000);
    this.#calls = new Calls(this.#store, this.#link, RPC_RESPONSE_TIMEOUT * 1000);
    // What an idle fleet costs: this line, counted.
    log("host.woken", { host: this.#name() });
  }

  /** The agent's upgrade; the Worker has proved that the caller holds this host's key. */
  override fetch(): Response {
    migrate(this.ctx.storage, MIGRATIONS);
    return this.#link.accept();
  }

  /** Takes resources for a server, or says why not. The same claim again is the same claim (nova: Claim). */
  claim(request: ClaimRequest): Result<{ node: string }, ClaimRefused> {
    const service = this.#service();
    if (service === null || this.#link.current() === null) {
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
    this.#calls.giveUp(server);
    if (this.#store.allocation(server) === null) return { state: "gone" };
    this.#store.setLeaving(server);
    const reply = await this.#calls.destroy(server, generation);
    if (reply.kind === "waiting") return { state: "leaving", connected: reply.connected };
    return reply.outcome.ok ? { state: "gone" } : { state: "leaving", connected: true };
  }

  /** Has the agent do a call, once however often it is asked; waits for its outcome for RPC_RESPONSE_TIMEOUT. */
  call(request: CallRequest): Promise<CallReply> {
    const reply = this.#calls.call(request);
    // A spawn is known of since its claim.
    if (request.method !== "spawn" && BUSY.has(request.method)) this.#later(this.#publish());
    return reply;
  }

  /** Takes a call back that nobody waits for any more. The agent may have done it; its next report tells. */
  withdraw(id: string): void {
    this.#store.dropCall(id);
  }

  /** Asks the agent for what needs no memory: its answer now, or why there is none. */
  ask<M extends Method>(method: M, server: string, generation: number, params: Params<M>): Promise<Outcome> {
    return this.#calls.ask(method, server, generation, params);
  }

  /** Where the guest's VNC server listens on the host, or why there is none, as a sentence. */
  async vncConsole(server: string, generation: number): Promise<Result<VncAddress, string>> {
    const outcome = await this.#calls.ask("get_vnc_console", server, generation, {});
    if (!outcome.ok) return err(outcome.error.message);
    const address = vncAddress.safeParse(outcome.value);
    return address.success ? ok(address.data) : err("the host named no screen");
  }

  /** Has the agent connect the guest's screen and dial in for one console session. */
  openConsole(server: string, generation: number, params: Params<"open_console">): Promise<Outcome> {
    return this.#calls.ask("open_console", server, generation, params);
  }

  /** What the scheduler sees of this host; null before its agent first said hello. */
  state(): HostState | null {
    const service = this.#service();
    if (service === null) return null;
    return {
      host: this.#name(),
      uuid: service.uuid,
      seq: this.#nextSeq(),
      up: this.#link.current() !== null && !service.forced_down,
      enabled: service.enabled ?? true,
      disabled_reason: service.disabled_reason ?? null,
      forced_down: service.forced_down ?? false,
      updated_at: new Date().toISOString(),
      inventory: service.inventory,
      capacity: capacity(service.inventory, config(this.env)),
      used: this.#store.used(),
      io_ops: this.#store.ioOps(),
      failed_builds: this.#failedBuilds(),
      image_properties: this.#store.imageProperties(),
    };
  }

  /** What an operator says of the service; null when there is none. The scheduler knows it when this returns. */
  async updateService(change: Partial<ServiceStatus>): Promise<HostState | null> {
    const service = this.#service();
    if (service === null) return null;
    this.ctx.storage.kv.put("service", { ...service, ...change } satisfies Service);
    log("service.updated", { host: this.#name(), ...change });
    await this.#publish();
    return this.state();
  }

  /** Forgets the service, unless servers are here, and its agent's key with it: the host comes back by enrolling. */
  async deleteService(): Promise<Result<undefined, { kind: "in_use" }>> {
    if (this.#store.used().instances > 0) return err({ kind: "in_use" });
    this.ctx.storage.kv.delete("service");
    await this.env.IDENTITY.getByName("default").removeAgent(this.#name());
    this.#link.close(CLOSE.REVOKED, "the host was removed");
    log("service.deleted", { host: this.#name() });
    await this.env.SCHEDULER.getByName("default").removeHost(this.#name(), this.#nextSeq());
    return ok();
  }

  /** The servers that have a claim here. */
  servers(): string[] {
    return this.#service() === null ? [] : this.#store.allocations().map(({ server }) => server);
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
    else {
      this.#saveInventory(frame.inventory);
      this.#later(this.#publish());
    }
  }

  override webSocketClose(ws: WebSocket): void {
    log("host.unlinked", { host: this.#name() });
    if (this.#link.remainsWithout(ws)) return;
    this.#calls.unlinked();
    this.#later(this.#publish());
  }

  override webSocketError(ws: WebSocket): void {
    this.webSocketClose(ws);
  }

  #hello(ws: WebSocket, frame: Hello): void {
    const version = agree(VERSIONS, frame.versions);
    if (frame.host !== this.#name()) this.#refuse(ws, CLOSE.WRONG_HOST, "this link belongs to another host");
    else if (version === null) this.#refuse(ws, CLOSE.NO_COMMON_VERSION, "no protocol version in common");
    else this.#welcome(ws, frame, version);
  }

  #welcome(ws: WebSocket, frame: Hello, version: number): void {
    this.#saveInventory(frame.inventory);
    this.#link.makeReady(ws);
    send(ws, { t: "welcome", version, report_interval: config(this.env).REPORT_INTERVAL });
    log("host.linked", { host: frame.host, agent: frame.agent, version, guests: frame.guests.length });
    this.#calls.resume(ws);
    this.#later(this.#publish());
    this.#compare(frame.guests);
    this.#findMissing(frame.guests);
  }

  /** What a call that was just settled means for the claim, and for the saga that it belongs to. */
  #settled({ call, outcome, waited }: Settled): void {
    if (call.method === "destroy" && !outcome.ok) this.#later(this.#destroyAgain(call));
    if (outcome.ok && call.method === "destroy") {
      this.#store.free(call.server);
      this.#later(this.#publish());
    } else if (outcome.ok) {
      const power = powerState.safeParse(outcome.value.power_state);
      if (power.success) this.#store.setPower(call.server, call.generation, power.data);
    }
    if (call.method === "spawn") this.#countBuild(outcome);
    if (BUSY.has(call.method)) this.#later(this.#publish());
    if (!waited) this.#later(this.env.SERVER.getByName(call.server).settled());
  }

  /** A destroy that failed, as while libvirtd restarts, is asked for again: who asked for it may not wait for the end. */
  async #destroyAgain({ server, generation }: { server: string; generation: number }): Promise<void> {
    if (this.#again.has(server)) return;
    this.#again.add(server);
    await scheduler.wait(DESTROY_AGAIN_MS);
    this.#again.delete(server);
    if (this.#store.allocation(server)?.leaving) await this.#calls.destroy(server, generation);
  }

  /** Tells the servers what changed since they were last told, and ends guests whose servers know that they are gone. */
  #compare(guests: readonly GuestReport[]): void {
    for (const guest of guests) {
      const allocation = this.#store.allocation(guest.server);
      if (allocation === null) this.#later(this.#strange(guest));
      else if (allocation.leaving) this.#later(this.#calls.destroy(guest.server, allocation.generation));
      else if (allocation.power_state !== guest.power_state) this.#later(this.#tell(guest));
    }
  }

  /** Claims whose guest was not reported, and is not being made: the guest vanished. */
  #findMissing(guests: readonly GuestReport[]): void {
    const reported = new Set(guests.map((guest) => guest.server));
    for (const { server, generation, leaving, power_state } of this.#store.allocations()) {
      if (reported.has(server)) continue;
      if (leaving) this.#later(this.#calls.destroy(server, generation));
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
    await this.#calls.destroy(guest.server, guest.generation);
  }

  /** Builds that failed since the last that did not (nova: stats.build_failed, build_succeeded). */
  #failedBuilds(): number {
    return this.ctx.storage.kv.get<number>("failed_builds") ?? 0;
  }

  #countBuild(outcome: Outcome): void {
    if (outcome.ok) this.ctx.storage.kv.delete("failed_builds");
    else this.ctx.storage.kv.put("failed_builds", this.#failedBuilds() + 1);
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
