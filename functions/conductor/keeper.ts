/**
 * Keeps a server's record: the one place that reads and changes it, drives its sagas, and tells its project. What may be
 * asked of it is the `Server` object's.
 */
import { config } from "../config.ts";
import type { Actor } from "../identity/actor.ts";
import { causeOf, log } from "../log.ts";
import { movePeers } from "../move/peers.ts";
import { err, ok, type Result } from "../result.ts";
import { migrate, migrateExisting } from "../store/migrate.ts";
import { ActionLog } from "./action-log.ts";
import type { Context, Memo } from "./context.ts";
import { Decisions } from "./decisions.ts";
import { type Due, dueOf } from "./due.ts";
import { PLACES } from "./flows.ts";
import { GivenStore } from "./given.ts";
import { type ActionError, type Locked, type NotFound, notReady } from "./order.ts";
import type { ServerRecord } from "./record.ts";
import type { SagaRow } from "./saga.ts";
import { SagaRunner } from "./saga-runner.ts";
import { MIGRATIONS, SCHEMA, ServerStore } from "./server-store.ts";
import { type Action, begin, hasScreen, ruleOf } from "./state.ts";

export class Keeper {
  readonly #ctx: DurableObjectState;
  readonly #env: Env;
  readonly store: ServerStore;
  readonly given: GivenStore;
  readonly actions: ActionLog;
  readonly decisions: Decisions;
  readonly sagas: SagaRunner;
  /** Whether the server was ever made. */
  exists: boolean;

  constructor(ctx: DurableObjectState, env: Env) {
    this.#ctx = ctx;
    this.#env = env;
    this.exists = migrateExisting(ctx.storage, MIGRATIONS);
    this.store = new ServerStore(ctx.storage.sql);
    this.given = new GivenStore(ctx.storage.sql);
    this.actions = new ActionLog(ctx.storage.sql);
    this.decisions = new Decisions(ctx.storage.sql);
    this.sagas = new SagaRunner({
      ctx,
      store: this.store,
      given: this.given,
      actions: this.actions,
      decisions: this.decisions,
      contextOf: (saga, mine) => this.#context(saga, mine),
      publish: () => this.#publish(),
      wakeAt: () => this.due()?.at ?? null,
    });
  }

  /** Makes the tables; nothing is written of a server that nobody makes. */
  open(): void {
    migrate(this.#ctx.storage, MIGRATIONS, SCHEMA);
    this.exists = true;
  }

  /** What the server is to do next by itself. */
  due(): Due | null {
    const record = this.store.record();
    return record && dueOf(record, config(this.#env));
  }

  /** The hosts that may have a claim or a guest of this server. */
  touched({ host, resized, evacuated_from = [] }: ServerRecord): string[] {
    const running = this.store.saga();
    const tried = running && PLACES.has(running.flow) ? running.memo.hosts.slice(0, running.memo.at + 1) : [];
    return [...new Set([...tried, ...evacuated_from, ...[resized?.host, host].filter((one) => one != null)])];
  }

  /** The record before and after `action` begins, or why it may not. */
  gate(actor: Actor, action: Action): Result<{ before: ServerRecord; begun: ServerRecord }, ActionError> {
    const found = ruleOf(action).unlocked ? this.found(actor) : this.changeable(actor);
    if (!found.ok) return found;
    const before = found.value;
    const begun = begin(before, action);
    if (!begun.ok) return begun;
    const homeless = before.host === null && before.vm_state !== "shelved_offloaded";
    return homeless ? err(notReady(before.uuid)) : ok({ before, begun: begun.value });
  }

  /** Null before the server was made. */
  record(): ServerRecord | null {
    return this.exists ? this.store.record() : null;
  }

  /** The record as `actor` may see it; null when there is none for them. */
  visible(actor: Actor): ServerRecord | null {
    const record = this.record();
    if (record === null || record.vm_state === "deleted") return null;
    return actor.is_admin || record.project_id === actor.project_id ? record : null;
  }

  found(actor: Actor): Result<ServerRecord, NotFound> {
    const record = this.visible(actor);
    return record === null ? err({ kind: "not_found" }) : ok(record);
  }

  /** The record, if the lock lets `actor` at it. */
  changeable(actor: Actor): Result<ServerRecord, NotFound | Locked> {
    const found = this.found(actor);
    return found.ok && found.value.locked_by && !actor.is_admin ? err({ kind: "locked" }) : found;
  }

  /** Whether `actor` may read what was done to the server, also when it is gone. */
  ownedEvenDeleted(actor: Actor): boolean {
    const record = this.record();
    return record !== null && (actor.is_admin || record.project_id === actor.project_id);
  }

  /** Records that `actor` asked for something. */
  note({ request_id, user_id, project_id }: Actor, action: string): void {
    this.actions.start({ request_id, user_id, project_id, action });
  }

  /** Changes the record, and its version with it. */
  change(change: Partial<ServerRecord>): ServerRecord {
    const record = this.store.record();
    if (record === null) throw new Error("a server that does not exist cannot change");
    const updated_at = new Date().toISOString();
    const changed: ServerRecord = { ...record, ...change, version: record.version + 1, updated_at };
    if (changed.vm_state !== record.vm_state && !hasScreen(changed)) {
      changed.screens_ended = (record.screens_ended ?? 0) + 1;
    }
    if (changed.generation !== record.generation && !("screen_since" in change)) delete changed.screen_since;
    this.store.saveRecord(changed);
    return changed;
  }

  /** A change beside whatever runs: a saga under way publishes it at its end, else one is begun for that alone. */
  async touch(change: Partial<ServerRecord>): Promise<ServerRecord> {
    const changed = this.change(change);
    if (this.store.saga() === null) await this.sagas.begin("refresh", { hosts: [], at: 0 }, null);
    else this.publishSoon();
    return changed;
  }

  #context(saga: SagaRow<Memo>, mine: () => SagaRow<Memo>): Context {
    const record = () => {
      const known = this.store.record();
      if (known === null) throw new Error("a saga without a server");
      return known;
    };
    return {
      config: config(this.#env),
      saga: saga.id,
      startedAt: saga.started_at,
      record,
      given: () => this.given.given(),
      secrets: () => this.given.secrets(),
      patch: (change) => {
        mine();
        this.change(change);
        if (change.task_state) this.publishSoon();
      },
      note: (memo) => this.store.saveSaga({ ...mine(), memo }),
      decided: (decision) => this.decisions.add(mine().request_id, decision),
      triedAgain: (failedOn, details) => {
        const { request_id } = mine();
        if (request_id === null) return;
        this.actions.nextEvent(request_id, { host: record().host }, { failed: true, host: failedOn, details });
      },
      hostOf: (server) => this.#env.SERVER.getByName(server).placedOn(),
      host: (name) => {
        mine();
        return this.#env.HOST.getByName(name);
      },
      peers: (move) => movePeers(this.#env, move),
      endPipe: () => this.#env.MOVE.getByName(saga.id).end(),
      scheduler: () => this.#env.SCHEDULER.getByName("default"),
      images: () => this.#env.IMAGES.getByName("default"),
      project: () => {
        mine();
        return this.#env.PROJECT.getByName(record().project_id);
      },
    };
  }

  /** Makes the record known to the index. */
  async #publish(): Promise<void> {
    for (let told = -1; ; ) {
      const record = this.store.record();
      if (record === null || record.version === told) return;
      await this.#env.PROJECT.getByName(record.project_id).index(record);
      told = record.version;
    }
  }

  /** Shows a passing state in lists; the saga's end publishes for certain. */
  publishSoon(): void {
    const record = this.store.record();
    if (record === null) return;
    const told = this.#env.PROJECT.getByName(record.project_id).index(record);
    this.#ctx.waitUntil(told.catch((error) => log("index.missed", { server: record.uuid, cause: causeOf(error) })));
  }
}
