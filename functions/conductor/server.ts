/**
 * One server: the only writer of its record, and the driver of its sagas (nova-conductor and the instances table).
 * Methods that users reach take an `Actor`; a server of another project does not exist for them.
 */
import { DurableObject } from "cloudflare:workers";
import { config } from "../config.ts";
import { type MintedConsole, mintConsole } from "../console/mint.ts";
import type { Actor } from "../identity/actor.ts";
import { causeOf, log } from "../log.ts";
import type { GuestReport } from "../protocol/guest.ts";
import { err, ok, type Result } from "../result.ts";
import { migrate, migrateExisting } from "../store/migrate.ts";
import { build } from "./build.ts";
import type { Context, Memo, ServerFlow } from "./context.ts";
import { remove } from "./delete.ts";
import { reboot, start, stop } from "./power.ts";
import { type CreateSpec, newRecord, type ServerRecord } from "./record.ts";
import { drive, type SagaRow } from "./saga.ts";
import { MIGRATIONS, ServerStore } from "./server-store.ts";
import { type Action, begin, type Conflict, syncPowerState } from "./state.ts";

export type NotFound = { kind: "not_found" };
export type NotReady = { kind: "not_ready"; message: string };

const refresh: ServerFlow = { name: "refresh", steps: [], failed: () => undefined };
export const FLOWS: Record<string, ServerFlow> = { build, start, stop, reboot, delete: remove, refresh };

/** The alarm that drives a saga on if this object dies while it runs. */
const GUARD_MS = 30_000;

export class Server extends DurableObject<Env> {
  readonly #store: ServerStore;
  #exists: boolean;
  /** The saga that a loop in this object's memory is driving now. */
  #driving: string | null = null;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#exists = migrateExisting(ctx.storage, MIGRATIONS);
    this.#store = new ServerStore(ctx.storage.sql);
  }

  /**
   * Takes the server on and begins to build it. Asked again with the same uuid it does nothing. After `deadline`
   * (ms since the epoch) it refuses, as the reservation that it stands on may be gone.
   */
  async create(spec: CreateSpec, deadline: number): Promise<Result<undefined, { kind: "too_late" }>> {
    if (this.#record() !== null) return ok();
    if (Date.now() > deadline) return err({ kind: "too_late" });
    migrate(this.ctx.storage, MIGRATIONS);
    this.#exists = true;
    this.#store.saveRecord(newRecord(spec));
    await this.#begin("build", { hosts: [], at: 0 });
    return ok();
  }

  /** The record as `actor` may see it; null when there is none for them. */
  show(actor: Actor): ServerRecord | null {
    return this.#visible(actor);
  }

  /** Whether the object was created: what a `Project` asks before it gives a reservation back. */
  exists(): boolean {
    return this.#exists;
  }

  /** Begins a power action. */
  async act(actor: Actor, action: Exclude<Action, "delete">): Promise<Result<undefined, NotFound | Conflict>> {
    const record = this.#visible(actor);
    if (record === null) return err({ kind: "not_found" });
    if (action === "start" && record.host === null) {
      return err({ kind: "invalid_state", verb: "start", attr: "vm_state", state: record.vm_state });
    }
    const begun = begin(record, action);
    if (!begun.ok) return begun;
    const memo: Memo = { hosts: record.host ? [record.host] : [], at: 0 };
    if (action === "reboot_soft") memo.reboot = "SOFT";
    this.#change(begun.value);
    await this.#begin(action.startsWith("reboot") ? "reboot" : action, memo);
    return ok();
  }

  /** Begins the end of the server. A second delete while the first runs is accepted and changes nothing. */
  async remove(actor: Actor): Promise<Result<undefined, NotFound | Conflict>> {
    const record = this.#visible(actor);
    if (record === null) return err({ kind: "not_found" });
    const running = this.#store.saga();
    if (running?.flow === "delete") return ok();
    const begun = begin(record, "delete");
    if (!begun.ok) return begun;
    const touched = running?.flow === "build" ? running.memo.hosts.slice(0, running.memo.at + 1) : [];
    if (record.host !== null && !touched.includes(record.host)) touched.push(record.host);
    this.#change(begun.value);
    await this.#begin("delete", { hosts: touched, at: 0 });
    return ok();
  }

  /** Makes a console token for the guest as it is now (nova: compute get_vnc_console). `base` is the viewer's URL. */
  async createConsole(actor: Actor, base: string): Promise<Result<MintedConsole, NotFound | NotReady>> {
    const record = this.#visible(actor);
    if (record === null) return err({ kind: "not_found" });
    const busy = record.task_state === "deleting" || record.vm_state === "building";
    if (record.host === null || busy) {
      return err({ kind: "not_ready", message: `Instance ${record.uuid} is not ready` });
    }
    const where = await this.env.HOST.getByName(record.host).vncConsole(record.uuid, record.generation);
    if (!where.ok) return err({ kind: "not_ready", message: `Instance ${record.uuid} is not ready: ${where.error}` });
    if (this.#record()?.generation !== record.generation) {
      return err({ kind: "not_ready", message: `Instance ${record.uuid} is not ready` });
    }
    const minted = await mintConsole(this.env, record, record.host, where.value, base);
    this.#store.addToken(minted.hash, minted.expires_at);
    return ok(minted);
  }

  /** The host whose agent shows this server's screen, if `generation` is still the guest's. */
  consoleHost(generation: number): string | null {
    const record = this.#record();
    if (record === null || record.vm_state === "deleted" || record.task_state === "deleting") return null;
    return record.generation === generation ? record.host : null;
  }

  /**
   * Takes a host's word on the guest (nova: _sync_instance_power_state). Returns whether it was
   * taken: not from a host that is not the server's, of an older guest, or while a task is at work.
   */
  async guestReported(host: string, report: GuestReport): Promise<boolean> {
    const record = this.#record();
    if (record === null || record.host !== host || report.generation < record.generation) return false;
    if (record.task_state !== null) return false;
    const action = syncPowerState(record, report.power_state);
    if (action === null && record.power_state === report.power_state) return true;
    if (action === "force_stop") {
      this.#change({ power_state: report.power_state, task_state: "powering-off" });
      await this.#begin("stop", { hosts: [host], at: 0 });
      return true;
    }
    this.#change({ power_state: report.power_state, ...(action === "stop" ? { vm_state: "stopped" } : {}) });
    await this.#begin("refresh", { hosts: [host], at: 0 });
    return true;
  }

  /**
   * Whether a guest of this server on `host` should be there: "no" only when this object knows that it should not.
   * An object that never heard of the server says "unknown", and nobody destroys anything on that word.
   */
  guestBelongs(host: string): "yes" | "no" | "unknown" {
    const record = this.#record();
    if (record === null) return "unknown";
    const tried = this.#store.saga()?.memo.hosts ?? [];
    return record.vm_state !== "deleted" && (record.host === host || tried.includes(host)) ? "yes" : "no";
  }

  /** A call that a saga waits for is settled, or its host is back: drive on without waiting for the alarm. */
  settled(): void {
    const saga = this.#exists ? this.#store.saga() : null;
    if (saga && this.#driving !== saga.id) this.ctx.waitUntil(this.#drive(saga));
  }

  override async alarm(): Promise<void> {
    const saga = this.#exists ? this.#store.saga() : null;
    if (saga === null) return;
    if (this.#driving === saga.id) await this.ctx.storage.setAlarm(Date.now() + GUARD_MS);
    else await this.#drive(saga);
  }

  #record(): ServerRecord | null {
    return this.#exists ? this.#store.record() : null;
  }

  #visible(actor: Actor): ServerRecord | null {
    const record = this.#record();
    if (record === null || record.vm_state === "deleted") return null;
    return actor.is_admin || record.project_id === actor.project_id ? record : null;
  }

  #change(change: Partial<ServerRecord>): void {
    const record = this.#store.record();
    if (record === null) throw new Error("a server that does not exist cannot change");
    this.#store.saveRecord({
      ...record,
      ...change,
      version: record.version + 1,
      updated_at: new Date().toISOString(),
    });
  }

  /** Journals a new saga in place of any other and starts to drive it, without waiting for its end. */
  async #begin(flow: string, memo: Memo): Promise<void> {
    const saga: SagaRow<Memo> = {
      id: crypto.randomUUID(),
      flow,
      phase: "forward",
      next: 0,
      memo,
      failure: null,
      started_at: Date.now(),
      attempts: 0,
    };
    this.#store.saveSaga(saga);
    await this.ctx.storage.setAlarm(Date.now() + GUARD_MS);
    this.ctx.waitUntil(this.#drive(saga));
  }

  async #drive(saga: SagaRow<Memo>): Promise<void> {
    const flow = FLOWS[saga.flow];
    if (!flow) throw new Error(`unknown flow ${saga.flow}`);
    this.#driving = saga.id;
    const store = {
      load: () => this.#store.saga(),
      save: (row: SagaRow<Memo>) => this.#store.saveSaga(row),
      clear: () => this.#store.clearSaga(),
      publish: () => this.#publish(),
    };
    const result = await drive(flow, this.#context(saga), store, saga.id);
    if (this.#driving === saga.id) this.#driving = null;
    if (result.state === "retry") await this.ctx.storage.setAlarm(Date.now() + result.delayMs);
    if (result.state === "done") await this.ctx.storage.deleteAlarm();
  }

  #context(saga: SagaRow<Memo>): Context {
    const mine = () => {
      const row = this.#store.saga();
      if (row?.id !== saga.id) throw new Error("another saga has taken the server");
      return row;
    };
    return {
      config: config(this.env),
      saga: saga.id,
      startedAt: saga.started_at,
      record: () => {
        const record = this.#store.record();
        if (record === null) throw new Error("a saga without a server");
        return record;
      },
      patch: (change) => {
        mine();
        this.#change(change);
        if (change.task_state) this.#publishSoon();
      },
      note: (memo) => this.#store.saveSaga({ ...mine(), memo }),
      host: (name) => this.env.HOST.getByName(name),
      scheduler: () => this.env.SCHEDULER.getByName("default"),
    };
  }

  /** Makes the record known to the index, and takes away the consoles of a guest that is gone. */
  async #publish(): Promise<void> {
    const record = this.#store.record();
    if (record === null) return;
    if (record.vm_state !== "active") await this.#revokeConsoles(record.vm_state);
    await this.env.PROJECT.getByName(record.project_id).index(record);
  }

  /** Shows a passing state in lists; the saga's end publishes for certain. */
  #publishSoon(): void {
    const record = this.#store.record();
    if (record === null) return;
    const told = this.env.PROJECT.getByName(record.project_id).index(record);
    this.ctx.waitUntil(told.catch((error) => log("index.missed", { server: record.uuid, cause: causeOf(error) })));
  }

  async #revokeConsoles(why: string): Promise<void> {
    const hashes = this.#store.takeTokens();
    if (hashes.length === 0) return;
    log("console.revoked", { server: this.ctx.id.name, tokens: hashes.length, why });
    await Promise.all(hashes.map((hash) => this.env.CONSOLE.getByName(hash).revoke()));
  }
}
