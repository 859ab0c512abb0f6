/** Steering a live migration that is under way (nova: compute live_migrate_abort, live_migrate_force_complete). */
import type { Actor } from "../identity/actor.ts";
import { err, ok, type Result } from "../result.ts";
import type { Keeper } from "./keeper.ts";
import { stageOf } from "./live-migrate.ts";
import type { ActionError } from "./order.ts";

export type Steering = "abort" | "force_complete";
/** `late`: it is at no point where this can be done. */
export type SteerError = ActionError | { kind: "late" };

/** What is asked of the source, and how it is recorded. */
const STEERING = {
  abort: { method: "abort_live_migration", action: "live_migration_cancel", event: "compute_live_migration_abort" },
  force_complete: {
    method: "force_complete_live_migration",
    action: "live_migration_force_complete",
    event: "compute_live_migration_force_complete",
  },
} as const;

/** One that copies nothing yet is called off by a note that its next step reads; else its source is asked. */
export async function steer(
  keeper: Keeper,
  env: Env,
  actor: Actor,
  { migration, how }: { migration: string; how: Steering },
): Promise<Result<undefined, SteerError>> {
  const found = keeper.changeable(actor);
  if (!found.ok) return found;
  const { uuid, generation, host } = found.value;
  const saga = keeper.store.saga();
  if (saga?.id !== migration || saga.flow !== "live_migrate" || saga.phase !== "forward" || host === null) {
    return err({ kind: "late" });
  }
  const stage = stageOf(saga);
  if (stage === "arrived" || (stage === "before" && how === "force_complete")) return err({ kind: "late" });
  const { method, action, event } = STEERING[how];
  keeper.note(actor, action);
  keeper.actions.startEvent(actor.request_id, event, host);
  const end = (failed: boolean, details: string | null) =>
    keeper.actions.finish(actor.request_id, { failed, host, details });
  if (stage === "before") {
    keeper.change({ abort_requested: migration });
    end(false, null);
    return ok();
  }
  const told = await env.HOST.getByName(host).ask(method, uuid, generation, {});
  end(!told.ok, told.ok ? null : told.error.message);
  return told.ok ? ok() : err({ kind: "late" });
}
