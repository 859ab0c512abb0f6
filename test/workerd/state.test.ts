import { describe, expect, it } from "vitest";
import {
  ACTIONS,
  type Action,
  begin,
  type InstanceState,
  ruleOf,
  status,
  syncPowerState,
  TASK_STATES,
  type TaskState,
  VM_STATES,
  type VmState,
} from "../../functions/conductor/state.ts";

const at = (vm_state: VmState, task_state: TaskState | null = null, launched = true): InstanceState => ({
  vm_state,
  task_state,
  power_state: 1,
  generation: 4,
  launched_at: launched ? "2026-01-01T00:00:00.000Z" : null,
});

/** Nova's gates (nova-facts 4.3), written out beside the table that the product reads: from where, over which tasks. */
const snapshots: VmState[] = ["active", "stopped", "paused", "suspended"];
const any = [...VM_STATES].filter((vm) => vm !== "deleted");
const GATES: Record<Action, { from: VmState[]; over?: TaskState[] | "any"; becomes: TaskState | null }> = {
  start: { from: ["stopped"], becomes: "powering-on" },
  stop: { from: ["active", "error"], becomes: "powering-off" },
  reboot_soft: { from: ["active"], becomes: "rebooting" },
  reboot_hard: {
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
    becomes: "rebooting_hard",
  },
  pause: { from: ["active"], becomes: "pausing" },
  unpause: { from: ["paused"], becomes: "unpausing" },
  suspend: { from: ["active"], becomes: "suspending" },
  resume: { from: ["suspended"], becomes: "resuming" },
  rescue: { from: ["active", "stopped", "error"], becomes: "rescuing" },
  unrescue: { from: ["rescued"], becomes: "unrescuing" },
  rebuild: { from: ["active", "stopped", "error"], becomes: "rebuilding" },
  resize: { from: ["active", "stopped"], becomes: "resize_prep" },
  migrate: { from: ["active", "stopped"], becomes: "resize_prep" },
  confirm_resize: { from: ["resized"], becomes: "resize_confirming" },
  revert_resize: { from: ["resized"], becomes: "resize_reverting" },
  shelve: { from: snapshots, becomes: "shelving" },
  shelve_offload: { from: ["shelved"], becomes: "shelving_offloading" },
  unshelve: { from: ["shelved", "shelved_offloaded"], becomes: "unshelving" },
  create_image: { from: snapshots, becomes: "image_snapshot_pending" },
  create_backup: { from: snapshots, becomes: "image_backup" },
  change_password: { from: ["active"], becomes: "updating_password" },
  live_migrate: { from: ["active", "paused"], becomes: "migrating" },
  evacuate: { from: ["active", "stopped", "error"], over: "any", becomes: "rebuilding" },
  trigger_crash_dump: { from: ["active", "paused", "rescued", "resized", "error"], becomes: null },
  delete: { from: any, over: "any", becomes: "deleting" },
  soft_delete: { from: any, over: "any", becomes: "soft-deleting" },
  force_delete: { from: any, over: "any", becomes: "deleting" },
  restore: { from: ["soft-delete"], becomes: "restoring" },
};
const NEVER_LAUNCHED: Action[] = ["delete", "force_delete"];
const LOCK_IGNORED: Action[] = ["create_image", "create_backup", "evacuate"];
const NEW_SCREEN: Action[] = ["start", "resume", "rescue", "unrescue", "rebuild", "unshelve", "restore"];

const actions = Object.keys(ACTIONS) as Action[];
const tasks = [null, ...TASK_STATES];

describe.each(actions)("%s", (action) => {
  const { from, over, becomes } = GATES[action];
  const free = (task: TaskState | null) => task === null || over === "any" || (over?.includes(task) ?? false);

  it("begins where Nova lets it begin, and nowhere else", () => {
    for (const vm of VM_STATES) {
      for (const task of tasks) {
        const begun = begin(at(vm, task), action);
        expect(begun.ok, `${vm} ${task}`).toBe(from.includes(vm) && free(task));
        if (begun.ok) expect(begun.value.task_state).toBe(becomes ?? task);
        else if (begun.error.kind === "invalid_state") {
          const { attr, state } = begun.error;
          expect(state).toBe(attr === "vm_state" ? vm : task);
        }
      }
    }
  });

  it("asks whether the server ever ran, and whether it is locked, as Nova asks", () => {
    const [vm = "active"] = from;
    const begun = begin(at(vm, null, false), action);
    expect(begun.ok).toBe(NEVER_LAUNCHED.includes(action));
    if (!begun.ok) expect(begun.error.kind).toBe("never_launched");
    expect(ruleOf(action).unlocked ?? false).toBe(LOCK_IGNORED.includes(action));
  });

  it("makes a new incarnation only where there is a new screen", () => {
    const begun = begin(at(from[0] ?? "active"), action);
    expect(begun.ok && begun.value.generation).toBe(NEW_SCREEN.includes(action) ? 5 : 4);
  });
});

/** nova-facts 4.2: the exceptions to a vm_state's own status. */
const RESIZING: TaskState[] = ["resize_prep", "resize_migrating", "resize_migrated", "resize_finish"];
const REBUILDING: TaskState[] = ["rebuilding", "rebuild_block_device_mapping", "rebuild_spawning"];
const SHOWN: Record<VmState, [string, Partial<Record<string, TaskState[]>>]> = {
  building: ["BUILD", {}],
  active: [
    "ACTIVE",
    {
      REBOOT: ["rebooting", "reboot_pending", "reboot_started"],
      HARD_REBOOT: ["rebooting_hard", "reboot_pending_hard", "reboot_started_hard"],
      PASSWORD: ["updating_password"],
      REBUILD: REBUILDING,
      MIGRATING: ["migrating"],
      RESIZE: RESIZING,
    },
  ],
  stopped: ["SHUTOFF", { RESIZE: RESIZING, REBUILD: REBUILDING }],
  resized: ["VERIFY_RESIZE", { REVERT_RESIZE: ["resize_reverting"] }],
  paused: ["PAUSED", { MIGRATING: ["migrating"] }],
  suspended: ["SUSPENDED", {}],
  rescued: ["RESCUE", {}],
  error: ["ERROR", { REBUILD: REBUILDING }],
  "soft-delete": ["SOFT_DELETED", {}],
  deleted: ["DELETED", {}],
  shelved: ["SHELVED", {}],
  shelved_offloaded: ["SHELVED_OFFLOADED", {}],
};

it.each(VM_STATES)("shows %s by its status, whatever the task", (vm_state) => {
  const [usual, exceptions] = SHOWN[vm_state];
  for (const task_state of tasks) {
    const except = Object.entries(exceptions).find(([, of]) => task_state !== null && of?.includes(task_state));
    expect(status({ vm_state, task_state }), `${task_state}`).toBe(except?.[0] ?? usual);
  }
});

/** nova-facts 7.3, in the order NOSTATE, RUNNING, PAUSED, SHUTDOWN, CRASHED, SUSPENDED. */
const POWER_STATES = [0, 1, 3, 4, 6, 7] as const;
const nothing = [null, null, null, null, null, null];
const logged = [null, "log", "log", null, "log", "log"];
const SYNCED: Record<VmState, (string | null)[]> = {
  building: nothing,
  active: ["log", null, "log", "stop", "stop", "stop"],
  paused: [null, null, null, "stop", "stop", null],
  suspended: nothing,
  stopped: [null, "stop", "stop", null, null, "stop"],
  rescued: nothing,
  resized: nothing,
  "soft-delete": logged,
  deleted: logged,
  error: nothing,
  shelved: nothing,
  shelved_offloaded: nothing,
};

it.each(VM_STATES)("takes a power state that nobody asked for as Nova does: %s", (vm_state) => {
  expect(POWER_STATES.map((power) => syncPowerState(at(vm_state), power))).toEqual(SYNCED[vm_state]);
  for (const task of TASK_STATES) {
    for (const power of POWER_STATES) expect(syncPowerState(at(vm_state, task), power)).toBeNull();
  }
});
