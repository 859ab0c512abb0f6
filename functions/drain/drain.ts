/**
 * Empties one host: its servers go to others, some at a time, until none is left or an operator stops it.
 *
 *   waiting --live_migrate, migrate--> moving --it is elsewhere--> moved
 *      |                                 +--it is where it was---> failed, with why
 *      +--nothing moves it as it is----> failed, with why
 *
 * What runs moves alive; what is off moves with its disks, and its move is confirmed. Looks by its own alarm: each look
 * is repeatable, so that a crash costs one look.
 */
import { DurableObject } from "cloudflare:workers";
import type { ActionError } from "../conductor/order.ts";
import type { ServerRecord } from "../conductor/record.ts";
import { config } from "../config.ts";
import type { Actor } from "../identity/actor.ts";
import { causeOf, log } from "../log.ts";
import { migrate } from "../store/migrate.ts";

const MIGRATIONS = [
  `CREATE TABLE server (
     uuid TEXT PRIMARY KEY, state TEXT NOT NULL, how TEXT, reason TEXT
   ) WITHOUT ROWID;`,
] as const;

const LOOK_MS = 1000;
const PLAN = "plan";

export type DrainedServer = {
  id: string;
  state: "waiting" | "moving" | "moved" | "failed";
  how: "live_migrate" | "migrate" | null;
  /** Why it failed, or what it waits for. */
  reason: string | null;
};
/** Times are ISO 8601. `done`: nothing is left that can be moved, though some may have failed. */
export type DrainStatus = {
  host: string;
  state: "running" | "done" | "stopped";
  started_at: string;
  ended_at: string | null;
  servers: DrainedServer[];
};
type Plan = Omit<DrainStatus, "servers"> & { actor: Actor };

/** How a server moves that is at rest in a state; the others stay. */
const HOW: Partial<Record<ServerRecord["vm_state"], NonNullable<DrainedServer["how"]>>> = {
  active: "live_migrate",
  paused: "live_migrate",
  stopped: "migrate",
};

export class Drain extends DurableObject<Env> {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    migrate(ctx.storage, MIGRATIONS);
  }

  /** Begins; nothing new while one is under way. What failed before is tried again. */
  async start(host: string, actor: Actor): Promise<void> {
    if (this.#plan()?.state === "running") return;
    const started_at = new Date().toISOString();
    this.#save({ host, state: "running", started_at, ended_at: null, actor });
    this.ctx.storage.sql.exec("DELETE FROM server");
    log("drain.started", { host });
    await this.ctx.storage.setAlarm(Date.now());
  }

  /** Begins no further moves; those under way go on to their end. */
  stop(): void {
    const plan = this.#plan();
    if (plan?.state === "running") this.#end(plan, "stopped");
  }

  /** Null when there never was one. */
  status(): DrainStatus | null {
    const plan = this.#plan();
    if (plan === null) return null;
    const { actor: _, ...told } = plan;
    return { ...told, servers: this.#servers() };
  }

  override async alarm(): Promise<void> {
    const plan = this.#plan();
    if (plan?.state !== "running") return;
    try {
      await this.#look(plan);
    } catch (error) {
      log("drain.look_failed", { host: plan.host, cause: causeOf(error) });
    }
    if (this.#plan()?.state === "running") await this.ctx.storage.setAlarm(Date.now() + LOOK_MS);
  }

  async #look(plan: Plan): Promise<void> {
    const { DRAIN_CONCURRENCY } = config(this.env);
    for (const uuid of await this.env.HOST.getByName(plan.host).servers()) {
      this.ctx.storage.sql.exec("INSERT OR IGNORE INTO server (uuid, state) VALUES (?, 'waiting')", uuid);
    }
    for (const { id } of this.#in("moving")) await this.#follow(plan, id);
    for (const { id } of this.#in("waiting")) {
      if (this.#in("moving").length >= DRAIN_CONCURRENCY || this.#plan()?.state !== "running") break;
      await this.#begin(plan, id);
    }
    if (this.#in("moving").length + this.#in("waiting").length > 0) return;
    if (this.#plan()?.state === "running") this.#end(plan, "done");
  }

  /** Begins to move a server, if it can be; one that something else is being done to waits. */
  async #begin(plan: Plan, id: string): Promise<void> {
    const record = await this.#show(plan, id);
    if (record === null) return this.#set(id, { state: "moved", reason: "it was deleted" });
    if (record.host !== plan.host) {
      const isKept = record.resized?.host === plan.host;
      return this.#set(id, isKept ? { state: "failed", reason: "its resize is not confirmed" } : { state: "moved" });
    }
    if (record.task_state !== null) return this.#set(id, { state: "waiting", reason: `it is ${record.task_state}` });
    const how = HOW[record.vm_state];
    if (how === undefined) return this.#set(id, { state: "failed", reason: `it is ${record.vm_state}` });
    const begun = await this.env.SERVER.getByName(id).act(anew(plan.actor), how);
    if (begun.ok) return this.#set(id, { state: "moving", how });
    const isBusy = begun.error.kind === "invalid_state" && begun.error.attr === "task_state";
    this.#set(id, { state: isBusy ? "waiting" : "failed", how, reason: reasonOf(begun.error) });
  }

  /** Looks what has become of a move. */
  async #follow(plan: Plan, id: string): Promise<void> {
    const record = await this.#show(plan, id);
    if (record === null) return this.#set(id, { state: "moved", reason: "it was deleted" });
    if (record.task_state !== null) return;
    const isThere = record.host !== plan.host;
    if (isThere && record.vm_state === "resized") {
      await this.env.SERVER.getByName(id).act(anew(plan.actor), "confirm_resize");
      return;
    }
    if (isThere && record.vm_state !== "error") return this.#set(id, { state: "moved" });
    this.#set(id, { state: "failed", reason: record.fault?.message ?? "it did not move" });
  }

  async #show({ actor }: Plan, id: string): Promise<ServerRecord | null> {
    return (await this.env.SERVER.getByName(id).show(actor)) as ServerRecord | null;
  }

  #in(state: DrainedServer["state"]): DrainedServer[] {
    return this.#servers().filter((one) => one.state === state);
  }

  #servers(): DrainedServer[] {
    return this.ctx.storage.sql
      .exec<DrainedServer>("SELECT uuid AS id, state, how, reason FROM server ORDER BY uuid")
      .toArray();
  }

  #set(id: string, { state, how, reason }: Pick<DrainedServer, "state"> & Partial<DrainedServer>): void {
    this.ctx.storage.sql.exec(
      "UPDATE server SET state = ?, how = coalesce(?, how), reason = ? WHERE uuid = ?",
      state,
      how ?? null,
      reason ?? null,
      id,
    );
  }

  #plan(): Plan | null {
    return this.ctx.storage.kv.get<Plan>(PLAN) ?? null;
  }

  #save(plan: Plan): void {
    this.ctx.storage.kv.put(PLAN, plan);
  }

  #end(plan: Plan, state: "done" | "stopped"): void {
    this.#save({ ...plan, state, ended_at: new Date().toISOString() });
    log("drain.ended", { host: plan.host, state, failed: this.#in("failed").length });
  }
}

function reasonOf(error: ActionError): string {
  switch (error.kind) {
    case "invalid_state":
      return `it is ${error.state}`;
    case "not_ready":
    case "failed":
      return error.message;
    default:
      return `it is refused: ${error.kind}`;
  }
}

/** Each move is an action of its own. */
const anew = (actor: Actor): Actor => ({ ...actor, request_id: `req-${crypto.randomUUID()}` });
