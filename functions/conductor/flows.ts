/** Every flow by the name that a saga's journal has it under. */
import { build } from "./build.ts";
import { migrate, resize } from "./cold-migrate.ts";
import type { ServerFlow } from "./context.ts";
import { remove, restore, softDelete } from "./delete.ts";
import { confirmResize, revertResize } from "./end-resize.ts";
import { evacuate } from "./evacuate.ts";
import { pause, rescue, resume, suspend, unpause, unrescue } from "./guest-flows.ts";
import { liveMigrate } from "./live-migrate.ts";
import { changePassword } from "./password.ts";
import { reboot, start, stop } from "./power.ts";
import { rebuild } from "./rebuild.ts";
import { reset } from "./reset.ts";
import { shelve, shelveOffload, unshelve, unshelveOffloaded } from "./shelve.ts";
import { backup, snapshot } from "./snapshot.ts";
import type { Action, VmState } from "./state.ts";

/** Publishes the record, and nothing else. */
const refresh: ServerFlow = { name: "refresh", steps: [], failed: () => undefined };

export const FLOWS: Record<string, ServerFlow> = {
  build,
  start,
  stop,
  reboot,
  pause,
  unpause,
  suspend,
  resume,
  rescue,
  unrescue,
  rebuild,
  create_image: snapshot,
  create_backup: backup,
  change_password: changePassword,
  resize,
  migrate,
  confirm_resize: confirmResize,
  revert_resize: revertResize,
  live_migrate: liveMigrate,
  evacuate,
  shelve,
  shelve_offload: shelveOffload,
  unshelve,
  unshelve_offloaded: unshelveOffloaded,
  delete: remove,
  soft_delete: softDelete,
  restore,
  reset,
  refresh,
};

/** The flow of an action, where it has another name. */
const OTHER_NAME: Partial<Record<Action, string>> = {
  reboot_soft: "reboot",
  reboot_hard: "reboot",
  force_delete: "delete",
};

/** The flow that `action` is on a server that is in `vm_state`. */
export function flowOf(action: Action, vm_state: VmState): string {
  if (action === "unshelve" && vm_state === "shelved_offloaded") return "unshelve_offloaded";
  return OTHER_NAME[action] ?? action;
}

/** The flows that try hosts for a server: each of those tried may hold a claim. */
export const PLACES: ReadonlySet<string> = new Set([
  "build",
  "unshelve_offloaded",
  "resize",
  "migrate",
  "live_migrate",
  "evacuate",
]);
