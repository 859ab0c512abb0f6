/**
 * The two ends of a resize (nova: compute confirm_resize, revert_resize, finish_revert_resize).
 *
 *   resized --confirm: the source's guest goes--> active, stopped     at the destination
 *           --revert: the destination's goes----> active, stopped     at the source, with the flavor that it had
 */
import { POWER_STATE } from "../protocol/guest.ts";
import { ok } from "../result.ts";
import { type Context, callHost, type Memo, type ServerFlow } from "./context.ts";
import { placed } from "./placement.ts";
import { powered } from "./power.ts";
import { faultOf, lastGeneration, nextGeneration, type Resized, type ServerRecord } from "./record.ts";
import { type Failure, type Step, Wait } from "./saga.ts";
import { sizesOf } from "./sizes.ts";

/** What the resize left; a server that was reset meanwhile has nothing of it. */
const leftOf = (context: Context): Resized | null => context.record().resized ?? null;

const sizesLeft = ({ flavor, ephemerals, swap_mb }: Resized, now: ServerRecord) =>
  sizesOf({ ...now, flavor, ...(ephemerals && { ephemerals }), ...(swap_mb !== undefined && { swap_mb }) });

const told = (name: string, status: string): Step<Context, Memo> => ({
  name,
  async run(context, memo) {
    const left = leftOf(context);
    if (left !== null) await context.project().changeMigration(left.migration, { status });
    return ok(memo);
  },
  async undo(context) {
    const left = leftOf(context);
    if (left !== null) await context.project().changeMigration(left.migration, { status: "error" });
  },
});

/** Ends the guest on one of the two hosts; `waits`: even for one that is away. */
async function leave(context: Context, host: string, waits: boolean): Promise<void> {
  const record = context.record();
  const left = await context.host(host).dismiss({ server: record.uuid, generation: lastGeneration(record) });
  if (left.state === "failed") throw new Error(`destroy on ${host}: ${left.error.code}: ${left.error.message}`);
  if (left.state === "leaving" && (left.connected || waits)) throw new Wait(`destroy on ${host}`);
}

function failed(context: Context, failure: Failure): void {
  context.patch({ vm_state: "error", task_state: null, fault: faultOf(failure) });
}

export const confirmResize: ServerFlow = {
  name: "confirm_resize",
  event: "compute_confirm_resize",
  steps: [
    told("record", "confirming"),
    {
      name: "leave",
      async run(context, memo) {
        const left = leftOf(context);
        if (left !== null && left.host === context.record().host) {
          const done = await callHost(context, "confirm_migration", {}, Number.POSITIVE_INFINITY);
          return done.ok ? ok(memo) : done;
        }
        // A source that is away ends its guest, and frees the claim, when it returns.
        if (left !== null) await leave(context, left.host, false);
        return ok(memo);
      },
      // No undo: what is destroyed stays so.
    },
    {
      name: "confirm",
      async run(context, memo) {
        const left = leftOf(context);
        if (left === null) return ok(memo);
        await context.project().changeMigration(left.migration, { status: "confirmed" });
        const vm_state = context.record().power_state === POWER_STATE.SHUTDOWN ? "stopped" : "active";
        context.patch({ vm_state, task_state: null, resized: null });
        return ok(memo);
      },
      // No undo: it is the last step.
    },
  ],
  failed,
};

export const revertResize: ServerFlow = {
  name: "revert_resize",
  event: "compute_revert_resize",
  steps: [
    told("record", "reverting"),
    {
      name: "leave",
      async run(context, memo) {
        const { host } = context.record();
        const left = leftOf(context);
        // One server never runs on two hosts: a destination that is away is waited for.
        if (left !== null && host !== null && host !== left.host) await leave(context, host, true);
        return ok(memo);
      },
      // No undo: the disks are at the source.
    },
    {
      name: "return",
      event: "compute_finish_revert_resize",
      async run(context, memo) {
        const left = leftOf(context);
        if (left === null) return ok(memo);
        const { host, node, zone } = left;
        // Its guest there is of the incarnation that it was: what its host says of it counts.
        const incarnation = { generation: nextGeneration(context.record()), seen_generation: 0 };
        context.patch({ host, node, zone, ...sizesLeft(left, context.record()), ...incarnation });
        await placed(context, host);
        return ok(memo);
      },
      // No undo: nothing is left at the destination.
    },
    {
      name: "bring_back",
      async run(context, memo) {
        if (leftOf(context) === null) return ok(memo);
        const done = await callHost(context, "finish_revert_migration", {}, Number.POSITIVE_INFINITY);
        return done.ok ? ok(memo) : done;
      },
      // No undo: nothing is left at the destination.
    },
    {
      name: "power_on",
      async run(context, memo) {
        const left = leftOf(context);
        if (left === null) return ok(memo);
        if (left.was !== "stopped") {
          const done = await callHost(context, "power_on", {}, Number.POSITIVE_INFINITY);
          if (!done.ok) return done;
          context.patch(powered(context, done.value));
        } else context.patch({ power_state: POWER_STATE.SHUTDOWN });
        await context.project().changeMigration(left.migration, { status: "reverted" });
        const vm_state = left.was === "stopped" ? "stopped" : "active";
        context.patch({ vm_state, task_state: null, resized: null, fault: null });
        return ok(memo);
      },
      // No undo: it is the last step.
    },
  ],
  failed(context, failure) {
    failed(context, failure);
    // At the source there is nothing to go back to.
    const left = leftOf(context);
    if (left !== null && context.record().host === left.host) context.patch({ resized: null });
  },
};
