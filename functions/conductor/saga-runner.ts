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
      actions.finish(cutOff.request_id, { failed: true, host: this.#host(), details: `It was cut off by ${flow}.` });
    }
    const event = FLOWS[flow]?.event;
    if (request_id !== null && event !== undefined) actions.startEvent(request_id, event, this.#host());
    const saga: SagaRow<Memo> = {
      id: crypto.randomUUID(),
      request_id,
      flow,
      phase: "forward",
      next: 0,
      // The image of a snapshot that is cut off is this flow's to remove, and the record of a move to close.
      memo: {
        ...(cutOff?.memo.snapshot && { snapshot: cutOff.memo.snapshot }),
        ...(cutOff?.memo.move && { cut_off: cutOff.id }),
        ...memo,
      },
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
    this.#expire();
    if (this.#driving !== null) await this.#wakeIn(GUARD_MS);
    await this.resume();
    if (store.saga() === null) await this.#rest();
  }

  async #drive(saga: SagaRow<Memo>): Promise<Ended> {
    const { store, actions, contextOf, publish } = this.#parts;
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
      save: (row: SagaRow<Memo>) => {
        const event = row.phase === "forward" && row.next !== store.saga()?.next && flow.steps[row.next]?.event;
        store.saveSaga(row);
        if (event && row.request_id !== null) {
          const host = this.#host();
          actions.nextEvent(row.request_id, { event, host }, { failed: false, host, details: this.#choice(row) });
        }
      },
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

  /**
   * Takes a saga that has run out of its time from whoever drives it, and has it undone. Its new name tells a step that is
   * still under way, or that comes back late, that the server is not its own any more.
   */
  #expire(): void {
    const { store } = this.#parts;
    const saga = store.saga();
    const end = saga && this.#expiry(saga);
    if (!saga || !end || end.at > Date.now()) return;
    store.saveSaga({ ...saga, id: crypto.randomUUID(), phase: "backward", failure: end.failure, attempts: 0 });
  }

  #expiry(saga: SagaRow<Memo>): { at: number; failure: Failure } | null {
    if (saga.phase !== "forward") return null;
    return FLOWS[saga.flow]?.expires?.(this.#parts.contextOf(saga, () => saga)) ?? null;
  }

  /** Sets the alarm to drive a saga on, or to when its time is over or the server is to do something, if that is before. */
  async #wakeIn(delayMs: number): Promise<void> {
    const { ctx, store, wakeAt } = this.#parts;
    const now = Date.now();
    const saga = store.saga();
    const end = saga && this.#expiry(saga);
    const due = wakeAt() ?? 0;
    const times = [now + delayMs, end?.at ?? Number.POSITIVE_INFINITY, due > now ? due : Number.POSITIVE_INFINITY];
    await ctx.storage.setAlarm(Math.min(...times));
  }

  /** No saga runs: the alarm is for what comes next, if anything does. */
  async #rest(): Promise<void> {
    const { ctx, wakeAt } = this.#parts;
    const at = wakeAt();
    if (at === null) await ctx.storage.deleteAlarm();
    else await ctx.storage.setAlarm(at);
  }

  #host(): string | null {
    return this.#parts.store.record()?.host ?? null;
  }

  /** How a host was chosen for it, as a sentence; null when none was. */
  #choice({ request_id }: SagaRow<Memo>): string | null {
    const decision = request_id === null ? null : this.#parts.decisions.of(request_id);
    return decision && explain(decision);
  }

  #end(row: SagaRow<Memo>): void {
    const { store, given, actions } = this.#parts;
    const { request_id, flow, failure } = row;
    store.clearSaga();
    given.forgetSecrets();
    if (store.record()?.vm_state === "deleted") given.forgetGiven();
    if (request_id !== null) {
      const told = FLOWS[flow]?.steps.some(({ event }) => event !== undefined) ? null : this.#choice(row);
      const details = failure ? [failure.message, failure.details].filter(Boolean).join(" ") : told;
      actions.finish(request_id, { failed: failure !== null, host: this.#host(), details });
    }
  }
}
