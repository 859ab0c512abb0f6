/** Setting the administrator's password of a running guest (nova: compute set_admin_password). */
import type { CallErrorCode } from "../protocol/methods.ts";
import { err, ok } from "../result.ts";
import type { ServerFlow } from "./context.ts";

const NOT_SUPPORTED: readonly CallErrorCode[] = ["NotSupported", "SetAdminPasswdNotSupported"];

export const changePassword: ServerFlow = {
  name: "change_password",
  event: "compute_set_admin_password",
  steps: [
    {
      name: "set_admin_password",
      async run(context, memo) {
        const { uuid, generation, host } = context.record();
        const password = context.secrets()?.admin_pass;
        if (host === null || password === undefined) return err({ code: 409, message: "The server has no host." });
        const done = await context.host(host).ask("set_admin_password", uuid, generation, { password });
        if (!done.ok) {
          const { code, message } = done.error;
          return err({ code: NOT_SUPPORTED.includes(code) ? 501 : 409, message });
        }
        context.patch({ task_state: null });
        return ok(memo);
      },
      // No undo: the old password is nobody's to know.
    },
  ],
  failed(context) {
    context.patch({ task_state: null });
  },
};
