/**
 * A server's state on Nova's two axes, and the one table of what may be asked when.
 *
 *   building --> active <--> stopped         vm_state is where a server rests, task_state what is being done to it.
 *      |           |  \ pause, suspend,      Each action has the states that it may begin in; where it ends is its
 *      v           |   \ rescue, shelve,     flow's to say. Delete goes from anywhere, at any time.
 *    error         v    \ resize <-> back
 *              soft-delete --> deleted
 *
 * Source: nova/compute/vm_states.py, task_states.py, api.py (check_instance_state, check_instance_lock).
 */
import { POWER_STATE, type PowerState } from "../protocol/guest.ts";
import { err, ok, type Result } from "../result.ts";

export const VM_STATES = [
  "building",
  "active",
  "paused",
  "suspended",
  "stopped",
  "rescued",
  "resized",
  "soft-delete",
  "deleted",
  "error",
  "shelved",
  "shelved_offloaded",
] as const;
export type VmState = (typeof VM_STATES)[number];

export const TASK_STATES = [
  "scheduling",
  "spawning",
  "image_snapshot_pending",
  "image_snapshot",
  "image_pending_upload",
  "image_uploading",
  "image_backup",
  "updating_password",
  "resize_prep",
  "resize_migrating",
  "resize_migrated",
  "resize_finish",
  "resize_reverting",
  "resize_confirming",
  "rebooting",
  "reboot_pending",
  "reboot_started",
  "rebooting_hard",
  "reboot_pending_hard",
  "reboot_started_hard",
  "pausing",
  "unpausing",
  "suspending",
  "resuming",
  "powering-off",
  "powering-on",
  "rescuing",
  "unrescuing",
  "rebuilding",
  "rebuild_block_device_mapping",
  "rebuild_spawning",
  "migrating",
  "deleting",
  "soft-deleting",
  "restoring",
  "shelving",
  "shelving_image_pending_upload",
  "shelving_image_uploading",
  "shelving_offloading",
  "unshelving",
] as const;
export type TaskState = (typeof TASK_STATES)[number];

export type InstanceState = {
  vm_state: VmState;
  task_state: TaskState | null;
  power_state: PowerState;
  /** The guest's incarnation: it rises whenever a new guest process, and so a new screen, is asked for. */
  generation: number;
  /** When the guest first ran; null before. */
  launched_at: string | null;
};

/** What may begin in which state. */
export type Rule = {
  /** The name in Nova's 409 text. */
  verb: string;
  /** The name it is recorded under, where that is another (nova/compute/instance_actions.py). */
  records?: string;
  from: readonly VmState[] | "any";
  /** Tasks that do not stand in the way; "any" is every one. */
  over?: readonly TaskState[] | "any";
  /** Null leaves the task as it is. */
  task: TaskState | null;
  /** Also for a server that never ran, and so may have no host. */
  unlaunched?: true;
  /** A lock does not stand in the way. */
  unlocked?: true;
  /** Whether the action makes a new incarnation. */
  renews?: true;
};

const SNAPSHOT_FROM = ["active", "stopped", "paused", "suspended"] as const;

export const ACTIONS = {
  start: { verb: "start", from: ["stopped"], task: "powering-on", renews: true },
  stop: { verb: "stop", from: ["active", "error"], task: "powering-off" },
  reboot_soft: { verb: "reboot", from: ["active"], task: "rebooting" },
  reboot_hard: {
    verb: "reboot",
    from: ["active", "stopped", "paused", "suspended", "error"],
    over: [
      "rebooting",
      "reboot_pending",
      "reboot_started",
      "rebooting_hard",
      "resuming",
      "unpausing",
      "pausing",
      "suspending",
    ],
    task: "rebooting_hard",
  },
  pause: { verb: "pause", from: ["active"], task: "pausing" },
  unpause: { verb: "unpause", from: ["paused"], task: "unpausing" },
  suspend: { verb: "suspend", from: ["active"], task: "suspending" },
  resume: { verb: "resume", from: ["suspended"], task: "resuming", renews: true },
  rescue: { verb: "rescue", from: ["active", "stopped", "error"], task: "rescuing", renews: true },
  unrescue: { verb: "unrescue", from: ["rescued"], task: "unrescuing", renews: true },
  rebuild: { verb: "rebuild", from: ["active", "stopped", "error"], task: "rebuilding", renews: true },
  resize: { verb: "resize", from: ["active", "stopped"], task: "resize_prep" },
  migrate: { verb: "migrate", from: ["active", "stopped"], task: "resize_prep" },
  // Nova's task stays null when a user asks; a revert that came then would find no disks at the source any more.
  confirm_resize: { verb: "confirmResize", from: ["resized"], task: "resize_confirming" },
  revert_resize: { verb: "revertResize", from: ["resized"], task: "resize_reverting" },
  shelve: { verb: "shelve", from: SNAPSHOT_FROM, task: "shelving" },
  shelve_offload: { verb: "shelveOffload", from: ["shelved"], task: "shelving_offloading" },
  unshelve: { verb: "unshelve", from: ["shelved", "shelved_offloaded"], task: "unshelving", renews: true },
  create_image: { verb: "createImage", from: SNAPSHOT_FROM, task: "image_snapshot_pending", unlocked: true },
  create_backup: { verb: "createBackup", from: SNAPSHOT_FROM, task: "image_backup", unlocked: true },
  change_password: { verb: "changePassword", from: ["active"], task: "updating_password" },
  live_migrate: { verb: "os-migrateLive", records: "live-migration", from: ["active", "paused"], task: "migrating" },
  evacuate: { verb: "evacuate", from: ["active", "stopped", "error"], over: "any", task: "rebuilding", unlocked: true },
  trigger_crash_dump: {
    verb: "trigger_crash_dump",
    from: ["active", "paused", "rescued", "resized", "error"],
    task: null,
  },
  delete: { verb: "delete", from: "any", over: "any", task: "deleting", unlaunched: true },
  soft_delete: { verb: "delete", from: "any", over: "any", task: "soft-deleting" },
  force_delete: {
    verb: "forceDelete",
    records: "delete",
    from: "any",
    over: "any",
    task: "deleting",
    unlaunched: true,
  },
  restore: { verb: "restore", from: ["soft-delete"], task: "restoring", renews: true },
} as const satisfies Record<string, Rule>;
export type Action = keyof typeof ACTIONS;

/** The row of an action, as every row is. */
export const ruleOf = (action: Action): Rule => ACTIONS[action];

/** nova: InstanceInvalidState; without `attr` the server never ran. */
export type Conflict =
  | { kind: "invalid_state"; verb: string; attr: "vm_state" | "task_state"; state: string }
  | { kind: "never_launched"; verb: string };

/** The state in which `action` has begun, or why it may not begin. */
export function begin<S extends InstanceState>(state: S, action: Action): Result<S, Conflict> {
  const { verb, from, over, task, unlaunched, renews } = ruleOf(action);
  const refused = (attr: "vm_state" | "task_state", at: string) =>
    err({ kind: "invalid_state" as const, verb, attr, state: at });
  if (state.vm_state === "deleted" || (from !== "any" && !from.includes(state.vm_state))) {
    return refused("vm_state", state.vm_state);
  }
  const doing = state.task_state;
  if (doing !== null && over !== "any" && !over?.includes(doing)) return refused("task_state", doing);
  if (state.launched_at === null && !unlaunched) return err({ kind: "never_launched", verb });
  return ok({ ...state, task_state: task ?? doing, generation: state.generation + (renews ? 1 : 0) });
}

const RESIZE = {
  resize_prep: "RESIZE",
  resize_migrating: "RESIZE",
  resize_migrated: "RESIZE",
  resize_finish: "RESIZE",
} as const;
const REBUILD = {
  rebuilding: "REBUILD",
  rebuild_block_device_mapping: "REBUILD",
  rebuild_spawning: "REBUILD",
} as const;

type Row = { default: string } & Partial<Record<TaskState, string>>;
const STATUS = {
  building: { default: "BUILD" },
  active: {
    default: "ACTIVE",
    rebooting: "REBOOT",
    reboot_pending: "REBOOT",
    reboot_started: "REBOOT",
    rebooting_hard: "HARD_REBOOT",
    reboot_pending_hard: "HARD_REBOOT",
    reboot_started_hard: "HARD_REBOOT",
    updating_password: "PASSWORD",
    migrating: "MIGRATING",
    ...REBUILD,
    ...RESIZE,
  },
  stopped: { default: "SHUTOFF", ...RESIZE, ...REBUILD },
  resized: { default: "VERIFY_RESIZE", resize_reverting: "REVERT_RESIZE" },
  paused: { default: "PAUSED", migrating: "MIGRATING" },
  suspended: { default: "SUSPENDED" },
  rescued: { default: "RESCUE" },
  error: { default: "ERROR", ...REBUILD },
  "soft-delete": { default: "SOFT_DELETED" },
  deleted: { default: "DELETED" },
  shelved: { default: "SHELVED" },
  shelved_offloaded: { default: "SHELVED_OFFLOADED" },
} as const satisfies Record<VmState, Row>;

/** Every public status there is. */
export const STATUSES: ReadonlySet<string> = new Set(Object.values(STATUS).flatMap((row) => Object.values(row)));

/** The public status (nova/api/openstack/common.py: _STATE_MAP). */
export function status(state: Pick<InstanceState, "vm_state" | "task_state">): string {
  const row: Row = STATUS[state.vm_state];
  return (state.task_state && row[state.task_state]) || row.default;
}

/** Whether a guest in this state may have a screen that people look at. */
export function hasScreen({ vm_state }: Pick<InstanceState, "vm_state">): boolean {
  return vm_state === "active" || vm_state === "paused" || vm_state === "rescued" || vm_state === "resized";
}

type SyncRow = Partial<Record<PowerState, "stop" | "log">>;
const { NOSTATE, RUNNING, PAUSED, SHUTDOWN, CRASHED, SUSPENDED } = POWER_STATE;
const STAYS_THOUGH_DELETED: SyncRow = { [RUNNING]: "log", [PAUSED]: "log", [CRASHED]: "log", [SUSPENDED]: "log" };
/** Of a state that is not here, or of a power state that is not in its row, nothing follows. */
const SYNC: Partial<Record<VmState, SyncRow>> = {
  active: { [NOSTATE]: "log", [PAUSED]: "log", [SHUTDOWN]: "stop", [CRASHED]: "stop", [SUSPENDED]: "stop" },
  // Started behind our back: Nova's force_stop, which is a stop that asks no gate.
  stopped: { [RUNNING]: "stop", [PAUSED]: "stop", [SUSPENDED]: "stop" },
  paused: { [SHUTDOWN]: "stop", [CRASHED]: "stop" },
  "soft-delete": STAYS_THOUGH_DELETED,
  deleted: STAYS_THOUGH_DELETED,
};

/**
 * What a guest's reported power state makes of a resting server (nova: _sync_instance_power_state): "stop" begins a
 * stop, "log" is for operators to know; null is as it should be, or no matter. A server with a task is never touched:
 * the task will say.
 */
export function syncPowerState(state: InstanceState, reported: PowerState): "stop" | "log" | null {
  return state.task_state === null ? (SYNC[state.vm_state]?.[reported] ?? null) : null;
}
