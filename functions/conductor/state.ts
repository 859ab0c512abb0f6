/**
 * A server's state on Nova's two axes, and the one table of what may be asked when.
 *
 *              create                    spawned
 *   (nothing) ---------> building ----------------------> active <------------+
 *                          |  scheduling, spawning        |  ^  \  rebooting  |
 *                          | build failed        os-stop  |  |   +------------+
 *                          v                 powering-off v  | powering-on
 *                        error ------ os-stop ---------> stopped
 *
 * vm_state is where a server rests, task_state what is being done to it; delete goes from anywhere, at any time.
 * Source: nova/compute/vm_states.py, task_states.py, api.py (check_instance_state).
 */
import type { PowerState } from "../protocol/guest.ts";
import { err, ok, type Result } from "../result.ts";

export type VmState = "building" | "active" | "stopped" | "error" | "deleted";
export type TaskState =
  | "scheduling"
  | "spawning"
  | "powering-off"
  | "powering-on"
  | "rebooting"
  | "rebooting_hard"
  | "deleting";

export type InstanceState = {
  vm_state: VmState;
  task_state: TaskState | null;
  power_state: PowerState;
  /** The guest's incarnation: it rises whenever a new guest process, and so a new screen, is asked for. */
  generation: number;
};

export type Action = "start" | "stop" | "reboot_soft" | "reboot_hard" | "delete";

type Rule = {
  /** The name in Nova's 409 text. */
  verb: string;
  from: readonly VmState[];
  /** Tasks that do not stand in the way; "any" is every one. */
  over?: readonly TaskState[] | "any";
  task: TaskState;
  /** Whether the action makes a new incarnation. */
  renews?: true;
};

export const ACTIONS = {
  start: { verb: "start", from: ["stopped"], task: "powering-on", renews: true },
  stop: { verb: "stop", from: ["active", "error"], task: "powering-off" },
  reboot_soft: { verb: "reboot", from: ["active"], task: "rebooting" },
  reboot_hard: {
    verb: "reboot",
    from: ["active", "stopped", "error"],
    over: ["rebooting", "rebooting_hard"],
    task: "rebooting_hard",
  },
  delete: {
    verb: "delete",
    from: ["building", "active", "stopped", "error"],
    over: "any",
    task: "deleting",
  },
} as const satisfies Record<Action, Rule>;

/** nova: InstanceInvalidState. */
export type Conflict = {
  kind: "invalid_state";
  verb: string;
  attr: "vm_state" | "task_state";
  state: string;
};

/** The state in which `action` has begun, or why it may not begin. */
export function begin<S extends InstanceState>(state: S, action: Action): Result<S, Conflict> {
  const rule: Rule = ACTIONS[action];
  if (!rule.from.includes(state.vm_state)) {
    return err({ kind: "invalid_state", verb: rule.verb, attr: "vm_state", state: state.vm_state });
  }
  const task = state.task_state;
  if (task !== null && rule.over !== "any" && !rule.over?.includes(task)) {
    return err({ kind: "invalid_state", verb: rule.verb, attr: "task_state", state: task });
  }
  return ok({ ...state, task_state: rule.task, generation: state.generation + (rule.renews ? 1 : 0) });
}

export type Status = "BUILD" | "ACTIVE" | "SHUTOFF" | "REBOOT" | "HARD_REBOOT" | "ERROR" | "DELETED";

const STATUS: Record<VmState, { default: Status } & Partial<Record<TaskState, Status>>> = {
  building: { default: "BUILD" },
  active: { default: "ACTIVE", rebooting: "REBOOT", rebooting_hard: "HARD_REBOOT" },
  stopped: { default: "SHUTOFF" },
  error: { default: "ERROR" },
  deleted: { default: "DELETED" },
};

/** The public status (nova/api/openstack/common.py: _STATE_MAP). */
export function status(state: Pick<InstanceState, "vm_state" | "task_state">): Status {
  const row = STATUS[state.vm_state];
  return (state.task_state && row[state.task_state]) || row.default;
}

/**
 * What a guest's reported power state makes of a resting server (nova: _sync_instance_power_state): "stop" records that
 * it went off by itself, "force_stop" switches off a guest that was started behind our back; null leaves the server.
 * A server with a task is never touched: the task will say.
 */
export function syncPowerState(state: InstanceState, reported: PowerState): "stop" | "force_stop" | null {
  if (state.task_state !== null) return null;
  const off = reported === 4 || reported === 6;
  const on = reported === 1 || reported === 3 || reported === 7;
  if (state.vm_state === "active" && (off || reported === 7)) return "stop";
  if (state.vm_state === "stopped" && on) return "force_stop";
  return null;
}
