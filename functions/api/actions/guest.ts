/** What is asked of the guest itself (nova: admin_password.py, console_output.py, servers.py _action_trigger_crash_dump). */
import { z } from "zod";
import { actionFault, callFault } from "../action-fault.ts";
import { badRequest } from "../fault.ts";
import { serverOf } from "../servers.ts";
import { action, begin, type ServerActions } from "./action.ts";

/** Lines; -1, null and nothing are all. */
const length = z
  .union([z.int().min(-1), z.string().regex(/^(-1|[0-9]{1,10})$/), z.null()])
  .transform((value) => (value === null ? null : Number(value)))
  .optional();

export const guest: ServerActions = {
  changePassword: action({
    summary: "Set the administrator's password in the guest",
    rule: "os_compute_api:os-admin-password",
    role: "member",
    value: z.strictObject({ adminPass: z.string().max(4096) }),
    status: 202,
    async run(c, { adminPass }) {
      await begin(c, "change_password", { secrets: { admin_pass: adminPass, files: [] }, wait: true });
      return c.body(null, 202);
    },
  }),
  "os-getConsoleOutput": action({
    summary: "Show what the guest wrote to its serial console",
    rule: "os_compute_api:os-console-output",
    role: "member",
    value: z.strictObject({ length }),
    status: 200,
    async run(c, value) {
      const { id, stub } = serverOf(c);
      const asked = await stub.ask(c.var.actor, "get_console_output", { length: value.length ?? null });
      if (!asked.ok) throw actionFault(id, asked.error);
      if (!asked.value.ok) throw callFault(asked.value.error);
      return c.json({ output: z.string().parse(asked.value.value.output) });
    },
  }),
  trigger_crash_dump: action({
    summary: "Have the guest's system dump its memory",
    rule: "os_compute_api:servers:trigger_crash_dump",
    role: "member",
    on: "do.crash-dump",
    value: z.null(),
    status: 202,
    async run(c) {
      const { id, stub } = serverOf(c);
      const done = await stub.crashDump(c.var.actor);
      if (!done.ok) throw actionFault(id, done.error);
      if (done.value.ok) return c.body(null, 202);
      const { code, message } = done.value.error;
      throw code === "NotSupported" ? badRequest(message) : callFault(done.value.error);
    },
  }),
};
