/**
 * The flows that take a server to another host (nova: conductor/tasks/migrate.py, live_migrate.py). They pass every
 * gate and leave Nova's record of a move, and end where bytes would have to leave the host: no agent can send them yet.
 */
import type { NewMigration } from "../project/migration.ts";
import { err, ok } from "../result.ts";
import type { Context, ServerFlow } from "./context.ts";
import { faultOf } from "./record.ts";

/** What every flow of these ends with, and what is told of one that is to be steered. */
export const NO_WAY = { code: 501, message: "Servers cannot be moved between hosts in this version." };

type Move = {
  name: string;
  event: string;
  type: NewMigration["migration_type"];
  /** The record's status while hosts are prepared. */
  begins: string;
};

function move({ name, event, type, begins }: Move): ServerFlow {
  const record = (context: Context, status: string) =>
    context.project().saveMigration(migration(context, type, status));
  return {
    name,
    event,
    steps: [
      {
        name: "record",
        async run(context, memo) {
          await record(context, begins);
          return ok(memo);
        },
        undo: (context) => record(context, "error"),
      },
      {
        name: "move",
        run: async () => err(NO_WAY),
        // No undo: nothing was moved.
      },
    ],
    failed(context, failure) {
      context.patch({ task_state: null, new_flavor: null, fault: faultOf(failure) });
    },
  };
}

/** Nova's record of the move that a flow is; a repeated step writes the same one. */
function migration(context: Context, type: NewMigration["migration_type"], status: string): NewMigration {
  const { uuid, host, node, flavor, new_flavor, user_id, project_id } = context.record();
  return {
    uuid: context.saga,
    instance_uuid: uuid,
    migration_type: type,
    status,
    source_compute: host,
    source_node: node,
    dest_compute: null,
    dest_node: null,
    dest_host: null,
    old_instance_type_id: flavor.flavorid,
    new_instance_type_id: (new_flavor ?? flavor).flavorid,
    created_at: new Date(context.startedAt).toISOString(),
    updated_at: new Date().toISOString(),
    user_id,
    project_id,
    hidden: false,
  };
}

const COLD = { event: "conductor_migrate_server", begins: "pre-migrating" };
export const resize = move({ ...COLD, name: "resize", type: "resize" });
export const migrate = move({ ...COLD, name: "migrate", type: "migration" });
export const liveMigrate = move({
  name: "live_migrate",
  event: "conductor_live_migrate_instance",
  type: "live-migration",
  begins: "accepted",
});
export const evacuate = move({
  name: "evacuate",
  event: "conductor_rebuild_server",
  type: "evacuation",
  begins: "accepted",
});
