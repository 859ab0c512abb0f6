/** The end of a server, and its soft end (nova: compute terminate_instance, soft_delete_instance, restore_instance). */
import { ok } from "../result.ts";
import { callHost, type Memo, type ServerFlow } from "./context.ts";
import { stageOf } from "./live-migrate.ts";
import { endMove, sourceOf } from "./move.ts";
import { guestFlow } from "./power.ts";
import { faultOf, lastGeneration, type ServerRecord } from "./record.ts";
import { type SagaRow, Wait } from "./saga.ts";
import { dropImage } from "./snapshot.ts";

export const remove: ServerFlow = {
  name: "delete",
  event: "compute_terminate_instance",
  steps: [
    {
      name: "dismiss",
      async run(context, memo) {
        const record = context.record();
        const { uuid, shelved, resized } = record;
        const generation = lastGeneration(record);
        // The record of a move that this cut off, or that nobody confirmed, is closed.
        if (memo.cut_off) await context.project().changeMigration(memo.cut_off, { status: "error" });
        if (resized) await context.project().changeMigration(resized.migration, { status: "confirmed" });
        await dropImage(context, memo.snapshot);
        // As in Nova, the image of a shelved server goes with it.
        if (shelved !== null) await context.images().remove(shelved.image);
        for (const name of memo.hosts) {
          const left = await context.host(name).dismiss({ server: uuid, generation });
          // A host that is away is not waited for: it ends the guest, and frees the claim, when it returns.
          if (left.state === "leaving" && left.connected) throw new Wait(`destroy on ${name}`);
          if (left.state === "failed") throw new Error(`destroy on ${name}: ${left.error.code}: ${left.error.message}`);
        }
        context.patch({
          vm_state: "deleted",
          task_state: null,
          power_state: 0,
          terminated_at: new Date().toISOString(),
        });
        return ok(memo);
      },
      // No undo: what is destroyed stays so; a delete that failed can be asked for again.
    },
  ],
  failed(context, failure) {
    context.patch({ vm_state: "error", task_state: null, fault: faultOf(failure) });
  },
};

/** Whether a soft delete is to wait for what is under way: cut off, it would leave nobody who knows where the guest is. */
export function decidesPlace(saga: SagaRow<Memo>, { host, resized }: ServerRecord): boolean {
  switch (saga.flow) {
    case "live_migrate":
      return stageOf(saga) !== "before";
    case "resize":
    case "migrate":
      return resized?.migration === saga.id;
    case "evacuate":
      return host !== sourceOf(saga.memo);
    default:
      return saga.flow === "confirm_resize" || saga.flow === "revert_resize";
  }
}

/** The guest is switched off and kept, with its claim, until it is restored or reclaimed. */
export const softDelete: ServerFlow = {
  name: "soft_delete",
  event: "compute_soft_delete_instance",
  steps: [
    {
      name: "end_move",
      // As in Nova, a resize that nobody confirmed is.
      async run(context, memo) {
        const { host, resized } = context.record();
        const isElsewhere = memo.hosts.some((name) => name !== host);
        if (resized || memo.cut_off || isElsewhere) await endMove(context, memo, "confirmed");
        return ok(memo);
      },
      // No undo: what is destroyed stays so.
    },
    {
      name: "power_off",
      async run(context, memo) {
        const { host } = context.record();
        await dropImage(context, memo.snapshot);
        if (host !== null && (await context.host(host).state())?.connected) {
          const patienceMs = context.config.RPC_RESPONSE_TIMEOUT * 1000;
          const done = await callHost(context, "power_off", {}, patienceMs);
          // A guest that is not there is off.
          if (!done.ok && done.error.of !== "InstanceNotFound") return done;
        }
        context.patch({
          vm_state: "soft-delete",
          task_state: null,
          power_state: 4,
          deleted_at: new Date().toISOString(),
          delete_requested: null,
        });
        return ok(memo);
      },
      // No undo: a guest that is off can be started.
    },
  ],
  failed(context, failure) {
    context.patch({ task_state: null, delete_requested: null, fault: faultOf(failure) });
  },
};

export const restore = guestFlow({
  name: "restore",
  method: "power_on",
  params: () => ({}),
  becomes: "active",
  change: () => ({ deleted_at: null }),
});
