/** Deleting a server, at any moment of its life (nova: compute terminate_instance; api _local_delete). */
import { ok } from "../result.ts";
import type { ServerFlow } from "./context.ts";
import { faultOf } from "./record.ts";
import { Wait } from "./saga.ts";

export const remove: ServerFlow = {
  name: "delete",
  event: "compute_terminate_instance",
  steps: [
    {
      name: "dismiss",
      async run(context, memo) {
        const { uuid, generation } = context.record();
        for (const name of memo.hosts) {
          const left = await context.host(name).dismiss({ server: uuid, generation });
          // A host that is away is not waited for: it ends the guest, and frees the claim, when it returns.
          if (left.state === "leaving" && left.connected) throw new Wait(`destroy on ${name}`);
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
