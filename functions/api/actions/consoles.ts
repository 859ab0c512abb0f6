/** The console actions that remote-consoles took the place of, up to 2.5 (nova: remote_consoles.py). */
import { z } from "zod";
import { openConsole } from "../consoles.ts";
import { badRequest } from "../fault.ts";
import { action, type ServerAction, type ServerActions } from "./action.ts";

function consoleAction(protocol: string, types: [string, ...string[]]): ServerAction {
  return action({
    summary: `Open a ${protocol} console of a server`,
    rule: "os_compute_api:os-remote-consoles",
    role: "member",
    on: "do.get-console",
    value: z.strictObject({ type: z.enum(types) }),
    status: 200,
    run: async (c, { type }) => c.json({ console: { type, url: await openConsole(c, protocol, type) } }),
  });
}

export const consoles: ServerActions = {
  "os-getVNCConsole": consoleAction("vnc", ["novnc", "xvpvnc"]),
  "os-getSPICEConsole": consoleAction("spice", ["spice-html5"]),
  "os-getSerialConsole": consoleAction("serial", ["serial"]),
  "os-getRDPConsole": action({
    summary: "Refused: RDP consoles were removed from Nova",
    rule: "os_compute_api:os-remote-consoles",
    role: "member",
    on: "do.get-console",
    status: 400,
    async run() {
      throw badRequest("Unavailable console type rdp-html5.");
    },
  }),
};
