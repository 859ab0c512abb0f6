/**
 * One server: what may be asked of it (nova-conductor and the instances table). Its record is the `Keeper`'s.
 * Methods that users reach take an `Actor`; a server of another project does not exist for them.
 */
import { DurableObject } from "cloudflare:workers";
import { config } from "../config.ts";
import type { Console } from "../console/console.ts";
import { type LinkOrder, type MintedLink, mintLink } from "../console/mint.ts";
import type { Actor } from "../identity/actor.ts";
import { causeOf, log } from "../log.ts";
import { growth } from "../project/charge.ts";
import type { Outcome, Progress } from "../protocol/frames.ts";
import type { GuestReport } from "../protocol/guest.ts";
import type { Method, Params } from "../protocol/methods.ts";
import { err, ok, type Result } from "../result.ts";
import type { InstanceAction, InstanceEvent } from "./action-log.ts";
import type { Memo } from "./context.ts";
import type { KeptDecision } from "./decisions.ts";
import { decidesPlace } from "./delete.ts";
import { applyDetails, type DetailsChange, type DetailsError } from "./details.ts";
import { closeEvacuation } from "./evacuate.ts";
import { flowOf } from "./flows.ts";
import { Keeper } from "./keeper.ts";
import { hasCome } from "./live-migrate.ts";
import { type ActionError, type NewServer, type NotFound, type NotReady, notReady, type Order } from "./order.ts";
import { withProgress, working } from "./progress.ts";
import { replacedBy } from "./rebuild.ts";
import { faultOf, newRecord, type ServerRecord, toldBy } from "./record.ts";
import { type Screen, type ScreenBinding, screenOf } from "./screen.ts";
import { type Action, begin, ruleOf, syncPowerState } from "./state.ts";
import { type SteerError, type Steering, steer } from "./steer.ts";

/** Whether a guest should be where it is; `at` in ms since the epoch. */
export type Belongs = { kind: "here" | "moved" | "unknown" } | { kind: "deleted"; at: number };

/** Whether links to its screen were ever made: its console is not woken for nothing. */
const CONSOLE = "console";

export class Server extends DurableObject<Env> {
  readonly #keeper: Keeper;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#keeper = new Keeper(ctx, env);
    // A saga whose driver died with this object goes on as soon as anybody looks, and by the alarm if nobody does.
    this.settled();
  }

  /**
   * Takes the server on and begins to build it. Asked again with the same uuid it does nothing. After `deadline`
   * (ms since the epoch) it refuses, as the reservation that it stands on may be gone.
   */
  async create(actor: Actor, asked: NewServer, deadline: number): Promise<Result<undefined, { kind: "too_late" }>> {
    if (this.#keeper.record() !== null) return ok();
    if (Date.now() > deadline) return err({ kind: "too_late" });
    this.#keeper.open();
    const { given, secrets, ...spec } = asked;
    if (given) this.#keeper.given.saveGiven(given);
    if (secrets) this.#keeper.given.saveSecrets(secrets);
    this.#keeper.store.saveRecord(newRecord(spec));
    this.#keeper.note(actor, "create");
    await this.#keeper.sagas.begin("build", { hosts: [], at: 0 }, actor.request_id);
    return ok();
  }

  /** The record as `actor` may see it; null when there is none for them. */
  show(actor: Actor): ServerRecord | null {
    return this.#keeper.visible(actor);
  }

  /** As `show` and as far as its host says it is, with the user data in the same call where that is wanted. */
  async showWith(actor: Actor, userData: boolean): Promise<{ record: ServerRecord; userData: string | null } | null> {
    const record = this.#keeper.visible(actor);
    if (record === null) return null;
    const { percent = record.progress } = (await this.#progress(record)) ?? {};
    const shown = { ...record, progress: percent };
    return { record: shown, userData: userData ? this.#keeper.given.given().user_data : null };
  }

  /** What its user gave it for cloud-init, as base64; null when nothing, or when there is no server for `actor`. */
  userData(actor: Actor): string | null {
    return this.#keeper.visible(actor) ? this.#keeper.given.given().user_data : null;
  }

  /** Whether the object was created: what a `Project` asks before it gives a reservation back. */
  exists(): boolean {
    return this.#keeper.exists;
  }

  /** Begins an action that its table lets begin, and returns the record as it is then. */
  async act(
    actor: Actor,
    action: Exclude<Action, "delete" | "soft_delete" | "force_delete">,
    { memo, change, given, secrets, wait }: Order = {},
  ): Promise<Result<ServerRecord, ActionError>> {
    let gate = this.#keeper.gate(actor, action);
    if (!gate.ok) return gate;
    const more = growth(gate.value.before, change?.new_flavor ?? null);
    if (more !== null) {
      const { project_id, uuid } = gate.value.before;
      const project = this.env.PROJECT.getByName(project_id);
      const reserved = await project.reserveMore(uuid, more);
      if (!reserved.ok) return reserved;
      // Somebody else may have come in between, and then has the server.
      gate = this.#keeper.gate(actor, action);
      if (!gate.ok) {
        await project.releaseMore(uuid);
        return gate;
      }
    }
    const { before, begun } = gate.value;
    const record = this.#keeper.change({ ...begun, ...change });
    // What was kept aside becomes the server's own charge as soon as its project hears of it.
    if (more !== null) this.#keeper.publishSoon();
    this.#keeper.given.forgetSecrets();
    if (given) this.#keeper.given.saveGiven({ ...this.#keeper.given.given(), ...given });
    if (secrets) this.#keeper.given.saveSecrets(secrets);
    this.#keeper.note(actor, ruleOf(action).records ?? ruleOf(action).verb);
    const hosts = this.#keeper.touched(before);
    const full: Memo = { ...memo, ...replacedBy(change, before), hosts, at: 0, was: before.vm_state };
    const { ended } = await this.#keeper.sagas.begin(flowOf(action, before.vm_state), full, actor.request_id);
    const end = wait ? await ended : null;
    if (end?.state === "done" && end.failure !== null) return err({ kind: "failed", ...end.failure });
    return ok(record);
  }

  /**
   * Begins the end of the server: a soft one where there is an interval to restore it in, unless forced. A second delete
   * while the first runs, or after a soft one, is accepted and changes nothing.
   */
  async remove(actor: Actor, how: "delete" | "force_delete" = "delete"): Promise<Result<undefined, ActionError>> {
    const found = this.#keeper.changeable(actor);
    if (!found.ok) return found;
    const record = found.value;
    const soft = how === "delete" && config(this.env).RECLAIM_INSTANCE_INTERVAL > 0 && record.launched_at !== null;
    const action = soft ? "soft_delete" : how;
    const running = this.#keeper.store.saga();
    const isUnderWay = running?.flow === flowOf(action, record.vm_state) || running?.flow === "delete";
    if (isUnderWay || (soft && (record.vm_state === "soft-delete" || record.delete_requested))) return ok();
    const begun = begin(record, action);
    if (!begun.ok) return begun;
    if (soft && running !== null && decidesPlace(running, record)) {
      this.#keeper.note(actor, "delete");
      await this.#keeper.touch({ delete_requested: actor.request_id });
      this.#tellConsole((console) => console.gone());
      return ok();
    }
    const hosts = this.#keeper.touched(record);
    this.#keeper.change(begun.value);
    this.#keeper.given.forgetSecrets();
    this.#keeper.note(actor, "delete");
    await this.#keeper.sagas.begin(flowOf(action, record.vm_state), { hosts, at: 0 }, actor.request_id);
    this.#tellConsole((console) => console.gone());
    return ok();
  }

  /** Takes an admin's word for the state that the server is in; its guest is not touched (nova: os-resetState). */
  async reset(actor: Actor, vm_state: "active" | "error"): Promise<Result<undefined, NotFound>> {
    const found = this.#keeper.found(actor);
    if (!found.ok) return found;
    // Where a guest that is leaving alive ends up only its migration will know: to end it at either host might end it.
    if (this.#keeper.store.saga()?.flow === "live_migrate") {
      await this.#keeper.touch({ vm_state });
      return ok();
    }
    const hosts = this.#keeper.touched(found.value);
    this.#keeper.change({ vm_state, task_state: null, new_flavor: null });
    await this.#keeper.sagas.begin("reset", { hosts, at: 0 }, null);
    return ok();
  }

  /** Asks the guest's host for something now. Nothing is recorded, and the state does not matter but to the driver. */
  async ask<M extends Method>(
    actor: Actor,
    method: M,
    params: Params<M>,
  ): Promise<Result<Outcome, NotFound | NotReady>> {
    const found = this.#keeper.found(actor);
    if (!found.ok) return found;
    const { uuid, generation, host } = found.value;
    if (host === null) return err(notReady(uuid));
    return ok(await this.env.HOST.getByName(host).ask(method, uuid, generation, params));
  }

  /** Has the guest write its memory down (nova: trigger_crash_dump). */
  async crashDump(actor: Actor): Promise<Result<Outcome, ActionError>> {
    const gate = this.#keeper.gate(actor, "trigger_crash_dump");
    if (!gate.ok) return gate;
    const { uuid, generation, host } = gate.value.before;
    if (host === null) return err(notReady(uuid));
    this.#keeper.note(actor, "trigger_crash_dump");
    this.#keeper.actions.startEvent(actor.request_id, "compute_trigger_crash_dump", host);
    const outcome = await this.env.HOST.getByName(host).ask("inject_nmi", uuid, generation, {});
    const details = outcome.ok ? null : outcome.error.message;
    this.#keeper.actions.finish(actor.request_id, { failed: !outcome.ok, host, details });
    return ok(outcome);
  }

  /** Changes what its owner may change without touching the guest; returns the record, and whether a tag was new. */
  async change(
    actor: Actor,
    change: DetailsChange,
  ): Promise<Result<{ record: ServerRecord; isNew: boolean }, ActionError | DetailsError>> {
    const maxItems = await this.#maxItems(actor, change);
    // Nova does not ask the lock about tags, or about the name (nova/compute/api.py).
    const found = change.of === "metadata" ? this.#keeper.changeable(actor) : this.#keeper.found(actor);
    if (!found.ok) return found;
    const changed = applyDetails(found.value, change, maxItems);
    if (!changed.ok) return changed;
    const record = await this.#keeper.touch(changed.value.details);
    return ok({ record, isNew: changed.value.isNew });
  }

  /** Locks the server against everybody but admins; a second lock changes nothing (nova: os-lock-server). */
  async lock(actor: Actor, reason: string | null = null): Promise<Result<undefined, NotFound>> {
    const found = this.#keeper.found(actor);
    if (!found.ok) return found;
    const { project_id, locked_by } = found.value;
    const by = actor.is_admin && actor.project_id !== project_id ? "admin" : "owner";
    if (locked_by) return ok();
    this.#keeper.note(actor, "lock");
    await this.#keeper.touch({ locked_by: by, locked_reason: reason });
    if (by === "admin") this.#tellConsole((console) => console.locked());
    return ok();
  }

  async unlock(actor: Actor): Promise<Result<undefined, NotFound | { kind: "admin_lock" }>> {
    const found = this.#keeper.found(actor);
    if (!found.ok) return found;
    if (found.value.locked_by === "admin" && !actor.is_admin) return err({ kind: "admin_lock" });
    this.#keeper.note(actor, "unlock");
    await this.#keeper.touch({ locked_by: null, locked_reason: null });
    return ok();
  }

  /** What was asked of the server, consoles among it, newest first; null when it does not exist for `actor`. */
  async actions(actor: Actor): Promise<InstanceAction[] | null> {
    const record = this.#keeper.record();
    if (record === null || !this.#keeper.ownedEvenDeleted(actor)) return null;
    const own = this.#keeper.actions.list();
    if (!this.#hasConsole()) return own;
    const all = [...own, ...(await this.env.CONSOLE.getByName(record.uuid).actions())];
    // The sort is stable: of one millisecond, the order stays.
    return all.sort((a, b) => (a.start_time < b.start_time ? 1 : a.start_time > b.start_time ? -1 : 0));
  }

  /** One action with its events, and how far the one is that has not ended. */
  async action(actor: Actor, requestId: string): Promise<{ action: InstanceAction; events: InstanceEvent[] } | null> {
    const record = this.#keeper.record();
    if (record === null || !this.#keeper.ownedEvenDeleted(actor)) return null;
    const action = this.#keeper.actions.list().find((one) => one.request_id === requestId);
    if (action === undefined) {
      return this.#hasConsole() ? this.env.CONSOLE.getByName(record.uuid).action(requestId) : null;
    }
    const events = this.#keeper.actions.events(requestId);
    const open = events.some(({ finish_time }) => finish_time === null);
    return { action, events: withProgress(events, open ? await this.#progress(record) : null) };
  }

  /** How hosts were chosen for it, newest first; null when it does not exist for `actor`. */
  decisions(actor: Actor): KeptDecision[] | null {
    return this.#keeper.ownedEvenDeleted(actor) ? this.#keeper.decisions.list() : null;
  }

  /** Makes a link to the guest's screen as it is now (nova: compute get_vnc_console). `base` is the viewer's URL. */
  async createLink(actor: Actor, order: LinkOrder, base: string): Promise<Result<MintedLink, NotFound | NotReady>> {
    const record = this.#keeper.visible(actor);
    if (record === null) return err({ kind: "not_found" });
    const { uuid, task_state, vm_state } = record;
    const busy = task_state === "deleting" || task_state === "soft-deleting" || vm_state === "building";
    if (record.host === null || busy) return err(notReady(uuid));
    const where = await this.env.HOST.getByName(record.host).vncConsole(record.uuid, record.generation);
    if (!where.ok) return err(notReady(uuid, where.error));
    if (this.#keeper.record()?.generation !== record.generation) return err(notReady(uuid));
    if (!this.#hasConsole()) this.ctx.storage.kv.put(CONSOLE, true);
    const { user_id, user_name, project_id, app_credential, is_admin } = actor;
    const giver = { user_id, user_name, project_id, app_credential, is_admin };
    return ok(await mintLink(this.env, record, { host: record.host, connect: where.value }, giver, order, base));
  }

  /** Whether its screen is still the one of a console. `carried`: or of the guest that came next. */
  screen(bound: ScreenBinding, carried: boolean): Screen {
    return screenOf(this.#keeper.record(), bound, carried);
  }

  /** The host that it is on; null when it is on none. */
  placedOn(): string | null {
    return this.#keeper.record()?.host ?? null;
  }

  /**
   * Takes a host's word on the guest (nova: _sync_instance_power_state). Returns whether the host need not say it again:
   * not if it is not the server's, if the guest is an older one, or while something is being done about it.
   */
  async guestReported(host: string, report: GuestReport): Promise<boolean> {
    const record = this.#keeper.record();
    const running = this.#keeper.store.saga();
    if (record !== null && running !== null && hasCome(running, host, report)) {
      this.#keeper.change({ screen_host: host });
      return false;
    }
    if (record === null || record.host !== host) return false;
    if (report.generation < (record.seen_generation ?? record.generation)) return false;
    if (record.task_state !== null || (running !== null && running.flow !== "refresh")) return false;
    const { vm_state } = record;
    const { power_state, fault } = report;
    const told = toldBy(report, record);
    if (fault !== undefined && vm_state !== "error") {
      await this.#keeper.touch({ ...told, vm_state: "error", fault: faultOf({ code: 500, message: fault }) });
      return true;
    }
    const action = syncPowerState(record, power_state);
    if (action !== null) log("guest.unexpected", { server: record.uuid, host, vm_state, power_state, action });
    if (action === "stop") {
      this.#keeper.change({ ...told, task_state: "powering-off" });
      await this.#keeper.sagas.begin("stop", { hosts: [host], at: 0 }, null);
      return false;
    }
    if (told !== null) await this.#keeper.touch(told);
    return true;
  }

  /**
   * Whether a guest of this server on `host` should be there: "moved" and "deleted" only when this object knows it. An
   * object that never heard of the server says "unknown", and nobody destroys anything on that word.
   */
  guestBelongs(host: string): Belongs {
    const record = this.#keeper.record();
    if (record === null) return { kind: "unknown" };
    const { vm_state, terminated_at, updated_at } = record;
    if (vm_state === "deleted") return { kind: "deleted", at: Date.parse(terminated_at ?? updated_at) };
    const tried = this.#keeper.store.saga()?.memo.hosts ?? [];
    const isHere = record.host === host || record.resized?.host === host || tried.includes(host);
    return { kind: isHere ? "here" : "moved" };
  }

  /** What was left of it on a host that it was evacuated from is gone. */
  goneFrom(host: string): Promise<void> {
    return closeEvacuation(this.#keeper, this.env, host);
  }

  /** Calls a live migration off, or has it end sooner; "late" when it is not at a point where it can be. */
  async steerMigration(actor: Actor, migration: string, how: Steering): Promise<Result<undefined, SteerError>> {
    const steered = await steer(this.#keeper, this.env, actor, { migration, how });
    if (steered.ok) this.settled();
    return steered;
  }

  /** A call that a saga waits for is settled, or its host is back: drive on without waiting for the alarm. */
  settled(): void {
    if (this.#keeper.exists) this.ctx.waitUntil(this.#keeper.sagas.resume());
  }

  /** Drives a saga on, or begins what the server is to do by itself. */
  override async alarm(): Promise<void> {
    if (!this.#keeper.exists) return;
    const record = this.#keeper.store.record();
    const due = this.#keeper.due();
    const running = this.#keeper.store.saga();
    // Of what runs, only a reboot that takes too long is cut off.
    const busy = running !== null && running.flow !== "reboot";
    if (record === null || due === null || due.at > Date.now() || busy) return this.#keeper.sagas.alarm();
    const begun = begin(record, due.action);
    if (!begun.ok) return this.#keeper.sagas.alarm();
    const hosts = this.#keeper.touched(record);
    this.#keeper.change(begun.value);
    const flow = flowOf(due.action, record.vm_state);
    const request = due.action === "soft_delete" ? (record.delete_requested ?? null) : null;
    await this.#keeper.sagas.begin(flow, { hosts, at: 0, was: record.vm_state, reboot: "HARD" }, request);
    if (request !== null) this.#tellConsole((console) => console.gone());
  }

  #hasConsole(): boolean {
    return this.ctx.storage.kv.get(CONSOLE) === true;
  }

  /** Behind the answer; the screen itself ends by the host's hand, whatever becomes of this. */
  #tellConsole(tell: (console: DurableObjectStub<Console>) => Promise<void>): void {
    const uuid = this.#keeper.record()?.uuid;
    if (uuid === undefined || !this.#hasConsole()) return;
    const told = tell(this.env.CONSOLE.getByName(uuid));
    this.ctx.waitUntil(told.catch((error) => log("console.missed", { server: uuid, cause: causeOf(error) })));
  }

  /** How far its host has come with it; null when it does nothing that takes long, or cannot be asked. */
  async #progress(record: ServerRecord): Promise<Progress | null> {
    const host = working(record);
    if (host === null) return null;
    return this.env.HOST.getByName(host)
      .progress(record.uuid)
      .catch(() => null);
  }

  /** How much metadata the server may have; asked for only where `change` may add some. */
  async #maxItems({ user_id }: Actor, change: DetailsChange): Promise<number> {
    const record = this.#keeper.record();
    if (record === null || change.of !== "metadata" || change.do === "delete") return -1;
    return (await this.env.PROJECT.getByName(record.project_id).limits(user_id)).metadata_items;
  }
}
