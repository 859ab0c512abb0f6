/** POST /servers/{id}/action: one key, the action (nova/api/openstack/compute/servers.py and the extensions beside it). */
import { actionOf, anyAction, noSuchAction } from "./action-body.ts";
import type { ServerActions } from "./actions/action.ts";
import { admin } from "./actions/admin.ts";
import { consoles } from "./actions/consoles.ts";
import { guest } from "./actions/guest.ts";
import { images } from "./actions/images.ts";
import { move } from "./actions/move.ts";
import { network } from "./actions/network.ts";
import { power } from "./actions/power.ts";
import { rebuild } from "./actions/rebuild.ts";
import { shelving } from "./actions/shelve.ts";
import { operation, type Paths } from "./operation.ts";

/** Every action by its key in the body. */
export const SERVER_ACTIONS: ServerActions = {
  ...power,
  ...admin,
  ...guest,
  ...rebuild,
  ...shelving,
  ...images,
  ...move,
  ...consoles,
  ...network,
};

export const serverActions: Paths = {
  "/servers/:id/action": {
    POST: operation({
      summary: "Do something with a server: the body's one key says what",
      rule: "os_compute_api:servers",
      // Each action has its own.
      role: "reader",
      body: anyAction,
      status: [200, 202, 204],
      async run(c, { body }) {
        const key = actionOf(body);
        const action = Object.hasOwn(SERVER_ACTIONS, key) ? SERVER_ACTIONS[key] : undefined;
        if (action === undefined) throw noSuchAction(key);
        return action.handle(c, key, body);
      },
    }),
  },
};
