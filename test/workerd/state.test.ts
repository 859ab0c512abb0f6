import { describe, expect, it } from "vitest";
import {
  ACTIONS,
  type Action,
  begin,
  type InstanceState,
  status,
  syncPowerState,
  type TaskState,
  type VmState,
} from "../../functions/conductor/state.ts";

const VM: VmState[] = ["building", "active", "stopped", "error", "deleted"];
const TASKS: (TaskState | null)[] = [
  null,
  "scheduling",
  "spawning",
  "powering-off",
  "powering-on",
  "rebooting",
  "rebooting_hard",
  "deleting",
];
const at = (vm_state: VmState, task_state: TaskState | null = null): InstanceState => ({
  vm_state,
  task_state,
  power_state: 1,
  generation: 4,
});

/** Nova's gates (nova-facts 4.3), written out beside the table that the product reads. */
const MAY: Record<Action, (vm: VmState, task: TaskState | null) => boolean> = {
  start: (vm, task) => vm === "stopped" && task === null,
  stop: (vm, task) => (vm === "active" || vm === "error") && task === null,
  reboot_soft: (vm, task) => vm === "active" && task === null,
  reboot_hard: (vm, task) =>
    ["active", "stopped", "error"].includes(vm) && (task === null || task === "rebooting" || task === "rebooting_hard"),
  delete: (vm) => vm !== "deleted",
};

describe.each(Object.keys(ACTIONS) as Action[])("%s", (action) => {
  const cases = VM.flatMap((vm) => TASKS.map((task) => ({ vm, task, may: MAY[action](vm, task) })));

  it.each(cases)("from $vm with task $task: $may", ({ vm, task, may }) => {
    const begun = begin(at(vm, task), action);
    expect(begun.ok).toBe(may);
    if (begun.ok) expect(begun.value.task_state).toBe(ACTIONS[action].task);
    else expect([vm, task]).toContain(begun.error.state);
  });
});

it("makes a new incarnation only where there is a new screen", () => {
  const generation = (action: Action, vm: VmState) => {
    const begun = begin(at(vm), action);
    return begun.ok ? begun.value.generation : null;
  };
  expect(generation("start", "stopped")).toBe(5);
  expect(generation("reboot_hard", "active")).toBe(4);
  expect(generation("stop", "active")).toBe(4);
});

it.each([
  ["building", "spawning", "BUILD"],
  ["active", null, "ACTIVE"],
  ["active", "rebooting", "REBOOT"],
  ["active", "rebooting_hard", "HARD_REBOOT"],
  ["active", "powering-off", "ACTIVE"],
  ["stopped", "rebooting_hard", "SHUTOFF"],
  ["error", null, "ERROR"],
  ["deleted", null, "DELETED"],
] as const)("%s with task %s reads %s", (vm, task, shown) => {
  expect(status(at(vm, task))).toBe(shown);
});

it.each([
  ["active", null, 4, "stop"],
  ["active", null, 6, "stop"],
  ["active", null, 7, "stop"],
  ["active", null, 3, null],
  ["active", null, 0, null],
  ["active", null, 1, null],
  ["active", "rebooting", 4, null],
  ["stopped", null, 1, "force_stop"],
  ["stopped", null, 4, null],
  ["building", "spawning", 4, null],
  ["error", null, 1, null],
] as const)("a %s server (task %s) whose guest is at %i: %s", (vm, task, power, action) => {
  expect(syncPowerState(at(vm, task), power)).toBe(action);
});
