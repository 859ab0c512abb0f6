/**
 * The flows that take a server to another host (nova: conductor/tasks/migrate.py, live_migrate.py). They pass every
 * gate, and end where bytes would have to leave the host: no agent can send them to another one yet.
 */
import { err } from "../result.ts";
import type { ServerFlow } from "./context.ts";
import { faultOf } from "./record.ts";

const NO_WAY = { code: 501, message: "Servers cannot be moved between hosts in this version." };

function move(name: string, event: string): ServerFlow {
  return {
    name,
    event,
    steps: [
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

export const resize = move("resize", "conductor_migrate_server");
export const migrate = move("migrate", "conductor_migrate_server");
export const liveMigrate = move("live_migrate", "conductor_live_migrate_instance");
export const evacuate = move("evacuate", "conductor_rebuild_server");
