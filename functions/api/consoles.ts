/** POST /servers/{id}/remote-consoles, from 2.6 (nova/api/openstack/compute/remote_consoles.py). */
import type { Context } from "hono";
import { config } from "../config.ts";
import { MAX_LABEL_CHARS } from "../protocol/console.ts";
import type { AppEnv } from "./app-env.ts";
import { badRequest, conflict, instanceNotFound } from "./fault.ts";
import { operation, type Paths } from "./operation.ts";
import { originOf } from "./resource.ts";
import { remoteConsole } from "./schema/server.ts";
import { serverOf, serverRecord } from "./servers.ts";

/** The page that the seed names; served here, on noVNC's RFB class. */
const VIEWER = "/vnc_auto.html";

/** Which type goes with which protocol. */
const PROTOCOL_OF: Record<string, string> = {
  novnc: "vnc",
  xvpvnc: "vnc",
  "spice-html5": "spice",
  serial: "serial",
  "rdp-html5": "rdp",
  webmks: "mks",
};

export const consoles: Paths = {
  "/servers/:id/remote-consoles": {
    POST: operation({
      summary: "Open a server's screen: the URL of a console",
      rule: "os_compute_api:os-remote-consoles",
      role: "member",
      on: "console.remote",
      body: remoteConsole,
      status: 200,
      answers: "remote_console",
      run: async (c, { body }) => {
        const { protocol, type } = body.remote_console;
        return c.json({ remote_console: { protocol, type, url: await openConsole(c, protocol, type) } });
      },
    }),
  },
};

/** The URL of a new console of the server in the path. */
export async function openConsole(c: Context<AppEnv>, protocol: string, type: string): Promise<string> {
  if (PROTOCOL_OF[type] !== protocol) throw badRequest(`Invalid console type ${type}`);
  const { id, stub } = serverOf(c);
  if (type !== "novnc") {
    // Whose server it is not learns no more than that.
    await serverRecord(c);
    throw badRequest(`Unavailable console type ${type}.`);
  }
  const { TOKEN_TTL, ENFORCE_SESSION_TIMEOUT } = config(c.env);
  const minted = await stub.createLink(
    c.var.actor,
    {
      kind: "console",
      terms: {
        label: c.var.actor.user_name.slice(0, MAX_LABEL_CHARS),
        rights: { input: true, clipboard: true, power: true },
        uses: null,
        addresses: [],
        ends_sessions: ENFORCE_SESSION_TIMEOUT,
      },
      pin: null,
      expires_in: TOKEN_TTL,
    },
    viewerUrl(c),
  );
  if (minted.ok) return minted.value.url;
  throw minted.error.kind === "not_found" ? instanceNotFound(id) : conflict(minted.error.message);
}

/** Where links to screens point. */
export function viewerUrl(c: Context<AppEnv>): string {
  return config(c.env).NOVNCPROXY_BASE_URL || `${originOf(c)}${VIEWER}`;
}
