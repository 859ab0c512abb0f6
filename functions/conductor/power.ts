/** What is done to a guest by one call to its host (nova: compute/manager.py start_instance, pause_instance …). */
import type { Outcome } from "../protocol/frames.ts";
import { POWER_STATE, powerState } from "../protocol/guest.ts";
import { MAX_SHUTDOWN_SECONDS, type Method, type Params } from "../protocol/methods.ts";
import { ok } from "../result.ts";
import { type CallFailure, type Context, callHost, enter, type Memo, type ServerFlow } from "./context.ts";
import { faultOf, type ServerRecord } from "./record.ts";
import type { Step } from "./saga.ts";
import type { TaskState, VmState } from "./state.ts";

/** What an agent's answer tells of the guest: its power state, NOSTATE when it tells none, and which incarnation it is of. */
export function powered(
  context: Context,
  { value }: Outcome & { ok: true },
): Pick<ServerRecord, "power_state" | "seen_generation"> {
  const parsed = powerState.safeParse(value.power_state);
  const power_state = parsed.success ? parsed.data : POWER_STATE.NOSTATE;
  return { power_state, seen_generation: context.record().generation };
}

/** How long the guest may take to shut down: its image's word, or the option's (nova: _get_power_off_values). */
export function grace({ record, config }: Context): { timeout: number } {
  const told = record().image_properties?.os_shutdown_timeout?.trim() ?? "";
  const timeout = /^\d{1,9}$/.test(told) ? Math.min(Number(told), MAX_SHUTDOWN_SECONDS) : config.SHUTDOWN_TIMEOUT;
  return { timeout };
}

/** Switches the guest off, after it was asked to shut down; one that is off stays so. */
export const powerOff: Step<Context, Memo> = {
  name: "power_off",
  async run(context, memo) {
    const patienceMs = context.config.RPC_RESPONSE_TIMEOUT * 1000;
    const done = await callHost(context, "power_off", grace(context), patienceMs);
    if (!done.ok) return done;
    context.patch(powered(context, done.value));
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
  /** The task that it shows while its host works. */
  task?(memo: Memo): TaskState;
  /**
   * Whether any failure leaves the server in ERROR; else only that of a guest that is not there, and the server stays
   * where it was (nova: reverts_task_state).
   */
  breaks?: true;
  /** Where a failure leaves it, if that depends on its guest; null: where it was. */
  ends?(context: Context): Promise<VmState | null>;
};

/** A flow of a call to the server's host. */
export function guestFlow<M extends Method>(flow: GuestFlow<M>): ServerFlow {
  const { name, method, params, becomes, change, first, task, breaks, ends } = flow;
  return {
    name,
    event: `compute_${name}_instance`,
    steps: [
      ...(first === undefined ? [] : [first]),
      {
        name: method,
        async run(context, memo) {
          const patienceMs = context.config.RPC_RESPONSE_TIMEOUT * 1000;
          if (task !== undefined) enter(context, task(memo));
          const done = await callHost(context, method, params(context, memo), patienceMs);
          if (!done.ok) {
            const vm_state = (await ends?.(context)) ?? null;
            if (vm_state !== null) context.patch({ vm_state });
            return done;
          }
          context.patch({
            ...change?.(),
            vm_state: typeof becomes === "function" ? becomes(memo) : becomes,
            task_state: null,
            ...powered(context, done.value),
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
  params: grace,
  becomes: "stopped",
});
export const reboot = guestFlow({
  name: "reboot",
  method: "reboot",
  params: (_, memo) => ({ type: memo.reboot ?? "HARD" }),
  becomes: "active",
  task: (memo) => (memo.reboot === "SOFT" ? "reboot_started" : "reboot_started_hard"),
  ends: afterReboot,
});

/** As in Nova a reboot that failed breaks the server, unless its guest runs all the same. Who cannot tell says nothing. */
async function afterReboot(context: Context): Promise<VmState | null> {
  const { uuid, generation, host } = context.record();
  if (host === null) return null;
  const asked = await context.host(host).ask("get_diagnostics", uuid, generation, {});
  if (asked.ok) return asked.value.state === "running" ? "active" : "error";
  return ["InstanceInvalidState", "InstanceNotFound"].includes(asked.error.code) ? "error" : null;
}
