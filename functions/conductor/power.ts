/** start, stop and reboot (nova: compute start_instance, stop_instance, reboot_instance). */
import type { Outcome } from "../protocol/frames.ts";
import { type PowerState, powerState } from "../protocol/guest.ts";
import type { Method, Params } from "../protocol/methods.ts";
import { ok } from "../result.ts";
import { callHost, type Memo, type ServerFlow } from "./context.ts";
import { faultOf } from "./record.ts";
import type { VmState } from "./state.ts";

/** The power state that an agent's answer tells; NOSTATE when it tells none. */
export function powered(outcome: Outcome & { ok: true }): PowerState {
  const value = outcome.value;
  const told = typeof value === "object" && value !== null && "power_state" in value ? value.power_state : undefined;
  const parsed = powerState.safeParse(told);
  return parsed.success ? parsed.data : 0;
}

/** A flow of one call. A failure leaves the server where it was, as nova's reverts_task_state does. */
function powerFlow<M extends Method>(
  name: string,
  method: M,
  params: (memo: Memo) => Params<M>,
  becomes: VmState,
): ServerFlow {
  return {
    name,
    event: `compute_${name}_instance`,
    steps: [
      {
        name: method,
        async run(context, memo) {
          const patienceMs = context.config.RPC_RESPONSE_TIMEOUT * 1000;
          const done = await callHost(context, method, params(memo), patienceMs);
          if (!done.ok) return done;
          context.patch({ vm_state: becomes, task_state: null, power_state: powered(done.value), fault: null });
          return ok(memo);
        },
        // No undo: the call either did its work or left the guest as it was, and the next report tells which.
      },
    ],
    failed(context, failure) {
      context.patch({ task_state: null, fault: faultOf(failure) });
    },
  };
}

export const start = powerFlow("start", "power_on", () => ({}), "active");
export const stop = powerFlow("stop", "power_off", () => ({}), "stopped");
export const reboot = powerFlow("reboot", "reboot", (memo) => ({ type: memo.reboot ?? "HARD" }), "active");
