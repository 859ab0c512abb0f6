/**
 * A saga: a flow's steps, run in order, with a journal of one row that survives the object.
 *
 *   forward 0 .. n-1 --all done--> finishing --> (gone)
 *       | a step fails                ^
 *       v                             |
 *   backward i .. 0 --all undone------+   flow.failed() records the failure
 *
 * A step that was cut off is run again, and the step that failed is undone first, as it may have done its work:
 * so `run` and `undo` are both idempotent, and `undo` does not assume that `run` happened. A thrown error is
 * trouble on the way (an object moved, a host is silent): the same step is tried again later, by the alarm.
 */
import { causeOf, log } from "../log.ts";
import type { Result } from "../result.ts";

/** Why a flow ended badly; `message` is fit for the owner of the server, `details` is for operators only. */
export type Failure = { code: number; message: string; details?: string };

export type Step<C, M> = {
  name: string;
  /** The event that its action records from this step on, in place of the one before; absent: that one goes on. */
  event?: string;
  /** Does the work and returns what later steps and the undo need to know. */
  run(context: C, memo: M): Promise<Result<M, Failure>>;
  /** Absent where there is nothing to take back; the step says why. */
  undo?(context: C, memo: M): Promise<void>;
};

export type Flow<C, M> = {
  name: string;
  /** The event that its action records from the beginning, by Nova's name; absent where Nova records none. */
  event?: string;
  steps: readonly Step<C, M>[];
  /** When it fails by itself, whatever it waits for (ms since the epoch), and how; null, or absent: never. */
  expires?(context: C): { at: number; failure: Failure } | null;
  /** Records the failure once everything is undone. */
  failed(context: C, failure: Failure): void;
};

export type SagaRow<M> = {
  id: string;
  /** The request whose action this is; null for what the system does by itself. */
  request_id: string | null;
  flow: string;
  phase: "forward" | "backward" | "finishing";
  /** Index of the step to run or to undo next. */
  next: number;
  memo: M;
  failure: Failure | null;
  started_at: number;
  attempts: number;
};

/** The journal and the world as one saga sees them. */
export type SagaStore<M> = {
  load(): SagaRow<M> | null;
  save(row: SagaRow<M>): void;
  /** Forgets the saga, which has ended as `row` tells. */
  end(row: SagaRow<M>): void;
  /** Makes the server's final record known to the index; throws when it could not. */
  publish(): Promise<void>;
};

/** "done": nothing is left. "retry": call again after `delayMs`. "superseded": another saga took the server. */
export type Drive = { state: "done" } | { state: "retry"; delayMs: number } | { state: "superseded" };

/** Tries of one forward step before its trouble counts as a failure. Undo never gives up. */
export const MAX_ATTEMPTS = 10;
const RETRY_BASE_MS = 250;
const RETRY_CAP_MS = 30_000;
/** A step that waits is asked again this often, in case the word that ends its waiting was lost. */
const WAIT_MS = 5_000;

/** Thrown by a step that must wait for the world (a host that is not connected): does not count as an attempt. */
export class Wait extends Error {
  override name = "Wait";
}

/** Runs `flow` on from where its journal stands. Never throws. */
export async function drive<C, M>(flow: Flow<C, M>, context: C, store: SagaStore<M>, id: string): Promise<Drive> {
  for (;;) {
    const row = store.load();
    if (row === null) return { state: "done" };
    if (row.id !== id) return { state: "superseded" };
    try {
      const next = await advance(flow, context, store, row);
      if (store.load()?.id !== id) return { state: "superseded" };
      if (next === null) {
        store.end(row);
        return { state: "done" };
      }
      store.save(next);
    } catch (error) {
      const now = store.load();
      if (now?.id !== id) return { state: "superseded" };
      if (error instanceof Wait) return { state: "retry", delayMs: WAIT_MS };
      store.save(afterTrouble(flow, now, error));
      return { state: "retry", delayMs: Math.min(RETRY_CAP_MS, RETRY_BASE_MS * 2 ** now.attempts) };
    }
  }
}

/** One transition of the diagram above; null when the saga is over. */
async function advance<C, M>(
  flow: Flow<C, M>,
  context: C,
  store: SagaStore<M>,
  row: SagaRow<M>,
): Promise<SagaRow<M> | null> {
  const step = flow.steps[row.next];
  switch (row.phase) {
    case "forward": {
      if (!step) return { ...row, phase: "finishing" };
      const result = await step.run(context, row.memo);
      if (result.ok) return { ...row, next: row.next + 1, memo: result.value, attempts: 0 };
      // What the step noted holds for its undo.
      return { ...(store.load() ?? row), phase: "backward", failure: result.error, attempts: 0 };
    }
    case "backward": {
      if (step) {
        await step.undo?.(context, row.memo);
        return { ...row, next: row.next - 1, attempts: 0 };
      }
      if (row.failure) flow.failed(context, row.failure);
      return { ...row, phase: "finishing" };
    }
    case "finishing":
      await store.publish();
      return null;
    default:
      throw row.phase satisfies never;
  }
}

function afterTrouble<C, M>(flow: Flow<C, M>, row: SagaRow<M>, error: unknown): SagaRow<M> {
  const attempts = row.attempts + 1;
  const step = flow.steps[row.next]?.name ?? "publish";
  log("saga.retried", { flow: flow.name, step, phase: row.phase, attempts, cause: causeOf(error) });
  if (row.phase !== "forward" || attempts < MAX_ATTEMPTS) return { ...row, attempts };
  const message = `The step ${step} did not succeed in ${MAX_ATTEMPTS} attempts.`;
  const failure = { code: 500, message, details: causeOf(error) };
  return { ...row, phase: "backward", failure, attempts: 0 };
}
