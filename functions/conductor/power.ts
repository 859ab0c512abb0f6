/** What is done to a guest by one call to its host (nova: compute/manager.py start_instance, pause_instance …). */
import type { Outcome } from "../protocol/frames.ts";
import { type PowerState, powerState } from "../protocol/guest.ts";
import type { Method, Params } from "../protocol/methods.ts";
import { ok } from "../result.ts";
import { type CallFailure, type Context, callHost, type Memo, type ServerFlow } from "./context.ts";
import { faultOf, type ServerRecord } from "./record.ts";
import type { Step } from "./saga.ts";
import type { VmState } from "./state.ts";

/** The power state that an agent's answer tells; NOSTATE when it tells none. */
export function powered(outcome: Outcome & { ok: true }): PowerState {
  const value = outcome.value;
  const told = typeof value === "object" && value !== null && "power_state" in value ? value.power_state : undefined;
  const parsed = powerState.safeParse(told);
  return parsed.success ? parsed.data : 0;
}

/** Switches the guest off, after it was asked to shut down; one that is off stays so. */
export const powerOff: Step<Context, Memo> = {
  name: "power_off",
  async run(context, memo) {
    const patienceMs = context.config.RPC_RESPONSE_TIMEOUT * 1000;
    const params = { timeout: context.config.SHUTDOWN_TIMEOUT };
    const done = await callHost(context, "power_off", params, patienceMs);
    if (!done.ok) return done;
    context.patch({ power_state: powered(done.value) });
    return ok(memo);
  },
  // No undo: a guest that is off can be started.
};

export type GuestFlow<M extends Method> = {
  name: string;
  method: M;
  params(context: Context, memo: Memo): Params<M>;
  becomes: VmState | ((memo: Memo) => VmState);
  /** What else a success changes. */
  change?(): Partial<ServerRecord>;
  /** What is done before. */
  first?: Step<Context, Memo>;
  /**
   * Whether any failure leaves the server in ERROR; else only that of a guest that is not there, and the server stays
   * where it was (nova: reverts_task_state).
   */
  breaks?: true;
};

/** A flow of a call to the server's host. */
export function guestFlow<M extends Method>(flow: GuestFlow<M>): ServerFlow {
  const { name, method, params, becomes, change, first, breaks } = flow;
  return {
    name,
    event: `compute_${name}_instance`,
    steps: [
      ...(first === undefined ? [] : [first]),
      {
        name: method,
        async run(context, memo) {
          const patienceMs = context.config.RPC_RESPONSE_TIMEOUT * 1000;
          const done = await callHost(context, method, params(context, memo), patienceMs);
          if (!done.ok) return done;
          context.patch({
            ...change?.(),
            vm_state: typeof becomes === "function" ? becomes(memo) : becomes,
            task_state: null,
            power_state: powered(done.value),
            fault: null,
          });
          return ok(memo);
        },
        // No undo: the call either did its work or left the guest as it was, and the next report tells which.
      },
    ],
    failed(context, failure: CallFailure) {
      const error = breaks || failure.of === "InstanceNotFound";
      context.patch({ task_state: null, fault: faultOf(failure), ...(error ? { vm_state: "error" } : {}) });
    },
  };
}

const none = () => ({});

export const start = guestFlow({ name: "start", method: "power_on", params: none, becomes: "active" });
export const stop = guestFlow({
  name: "stop",
  method: "power_off",
  params: ({ config }) => ({ timeout: config.SHUTDOWN_TIMEOUT }),
  becomes: "stopped",
});
export const reboot = guestFlow({
  name: "reboot",
  method: "reboot",
  params: (_, memo) => ({ type: memo.reboot ?? "HARD" }),
  becomes: "active",
});
