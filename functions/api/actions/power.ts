/** Starting, stopping, pausing, suspending (nova/api/openstack/compute/servers.py, pause_server.py, suspend_server.py). */
import { z } from "zod";
import { action, begin, plain, type ServerActions } from "./action.ts";

const reboot = z.strictObject({
  type: z.enum(["HARD", "Hard", "hard", "SOFT", "Soft", "soft"]).transform((type) => type.toUpperCase()),
});

export const power: ServerActions = {
  "os-start": plain("start", { summary: "Start a server", rule: "os_compute_api:servers:start" }),
  "os-stop": plain("stop", { summary: "Stop a server", rule: "os_compute_api:servers:stop" }),
  reboot: action({
    summary: "Reboot a server",
    rule: "os_compute_api:servers:reboot",
    role: "member",
    value: reboot,
    status: 202,
    async run(c, { type }) {
      await begin(c, type === "SOFT" ? "reboot_soft" : "reboot_hard", {
        memo: { reboot: type === "SOFT" ? type : "HARD" },
      });
      return c.body(null, 202);
    },
  }),
  pause: plain("pause", { summary: "Pause a server", rule: "os_compute_api:os-pause-server:pause" }),
  unpause: plain("unpause", { summary: "Unpause a server", rule: "os_compute_api:os-pause-server:unpause" }),
  suspend: plain("suspend", { summary: "Suspend a server", rule: "os_compute_api:os-suspend-server:suspend" }),
  resume: plain("resume", { summary: "Resume a suspended server", rule: "os_compute_api:os-suspend-server:resume" }),
};
