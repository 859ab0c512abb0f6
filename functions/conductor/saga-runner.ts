/** Runs a server's sagas: one at a time, journalled, and driven again by the object's alarm after any crash. */

import { explain } from "../scheduler/decision.ts";
import type { ActionLog } from "./action-log.ts";
import type { Context, Memo } from "./context.ts";
import type { Decisions } from "./decisions.ts";
import { FLOWS } from "./flows.ts";
import type { GivenStore } from "./given.ts";
import { drive, type Failure, type SagaRow } from "./saga.ts";
import type { ServerStore } from "./server-store.ts";

/** The alarm that drives a saga on if this object dies while it runs. */
const GUARD_MS = 30_000;

export type SagaParts = {
  ctx: DurableObjectState;
  store: ServerStore;
  given: GivenStore;
  actions: ActionLog;
  decisions: Decisions;
  /** What the flow's steps may touch; `mine` throws when another saga has taken the server. */
  contextOf(saga: SagaRow<Memo>, mine: () => SagaRow<Memo>): Context;
  publish(): Promise<void>;
  /** When the object must be woken, though no saga may run (ms since the epoch); null: never. */
  wakeAt(): number | null;
};

/** How a drive of a saga came out: done (with why it failed, or null), or still to be driven on. */
export type Ended = { state: "done"; failure: Failure | null } | { state: "pending" };

export class SagaRunner {
  readonly #parts: SagaParts;
  /** The saga that a loop in this object's memory is driving now. */
  #driving: string | null = null;

  constructor(parts: SagaParts) {
    this.#parts = parts;
  }

  /** Journals a new saga in place of any other and starts to drive it; `ended` tells what came of that. */
  async begin(flow: string, memo: Memo, request_id: string | null): Promise<{ ended: Promise<Ended> }> {
    const { ctx, store, actions } = this.#parts;
    const cutOff = store.saga();
    if (cutOff?.request_id) {
      actions.finishEvent(cutOff.request_id, store.record()?.host ?? null, `It was cut off by ${flow}.`);
    }
    const event = FLOWS[flow]?.event;
    if (request_id !== null && event !== undefined) actions.startEvent(request_id, event);
    const saga: SagaRow<Memo> = {
      id: crypto.randomUUID(),
      request_id,
      flow,
      phase: "forward",
      next: 0,
      // The image of a snapshot that is cut off is this flow's to remove.
      memo: { ...(cutOff?.memo.snapshot && { snapshot: cutOff.memo.snapshot }), ...memo },
      failure: null,
      started_at: Date.now(),
      attempts: 0,
    };
    store.saveSaga(saga);
    await this.#wakeIn(GUARD_MS);
    const ended = this.#drive(saga);
    ctx.waitUntil(ended);
    // In an object, so that who awaits the beginning does not await the end.
    return { ended };
  }

  /** Drives the journalled saga on, if it is not being driven. */
  async resume(): Promise<void> {
    const saga = this.#parts.store.saga();
    if (saga !== null && this.#driving !== saga.id) await this.#drive(saga);
  }

  /** As `resume`, and sets the next alarm; keeps the guard up while a saga is being driven. */
  async alarm(): Promise<void> {
    const { store } = this.#parts;
    if (this.#driving !== null) await this.#wakeIn(GUARD_MS);
    await this.resume();
    if (store.saga() === null) await this.#rest();
  }

  async #drive(saga: SagaRow<Memo>): Promise<Ended> {
    const { store, contextOf, publish } = this.#parts;
    const flow = FLOWS[saga.flow];
    if (!flow) throw new Error(`unknown flow ${saga.flow}`);
    this.#driving = saga.id;
    const mine = () => {
      const row = store.saga();
      if (row?.id !== saga.id) throw new Error("another saga has taken the server");
      return row;
    };
    let failure: Failure | null = null;
    const journal = {
      load: () => store.saga(),
      save: (row: SagaRow<Memo>) => store.saveSaga(row),
      end: (row: SagaRow<Memo>) => {
        failure = row.failure;
        this.#end(row);
      },
      publish,
    };
    const result = await drive(flow, contextOf(saga, mine), journal, saga.id);
    if (this.#driving === saga.id) this.#driving = null;
    if (result.state === "retry") await this.#wakeIn(result.delayMs);
    if (result.state !== "done") return { state: "pending" };
    if (store.saga() === null) await this.#rest();
    return { state: "done", failure };
  }

  /** A saga runs: the alarm is for driving it on, or for what comes before that. */
  async #wakeIn(delayMs: number): Promise<void> {
    const now = Date.now();
    const due = this.#parts.wakeAt() ?? 0;
    await this.#parts.ctx.storage.setAlarm(due > now ? Math.min(due, now + delayMs) : now + delayMs);
  }

  /** No saga runs: the alarm is for what comes next, if anything does. */
  async #rest(): Promise<void> {
    const { ctx, wakeAt } = this.#parts;
    const at = wakeAt();
    if (at === null) await ctx.storage.deleteAlarm();
    else await ctx.storage.setAlarm(at);
  }

  #end({ request_id, failure }: SagaRow<Memo>): void {
    const { store, given, actions, decisions } = this.#parts;
    store.clearSaga();
    given.forgetSecrets();
    if (store.record()?.vm_state === "deleted") given.forgetGiven();
    if (request_id !== null) {
      const decision = decisions.of(request_id);
      const told = failure ? [failure.message, failure.details] : [decision && explain(decision)];
      const details = told.filter(Boolean).join(" ") || null;
      actions.finishEvent(request_id, store.record()?.host ?? null, failure?.message ?? null, details);
    }
  }
}
