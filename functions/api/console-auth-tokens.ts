/**
 * GET /os-console-auth-tokens/{token} (nova/api/openstack/compute/console_auth_tokens.py): where a console's screen is,
 * for proxies of an operator's own. A host dials out and its screens listen on itself alone, so such a proxy runs on the
 * host: `host` is the compute host's name, `port` its loopback port, and `internal_access_path` its unix socket's path,
 * whichever of the two the screen has.
 */
import type { Context } from "hono";
import { consoleAuthOf, tokenHash } from "../console/mint.ts";
import type { AppEnv } from "./app-env.ts";
import { badRequest, notFound } from "./fault.ts";
import { has } from "./history.ts";
import { operation, type Paths } from "./operation.ts";

export const consoleAuthTokens: Paths = {
  "/os-console-auth-tokens/:token": {
    GET: operation({
      summary: "Show where the screen of a console token is; the token stays good",
      rule: "os_compute_api:os-console-auth-tokens",
      role: "admin",
      status: 200,
      answers: "console",
      run: show,
    }),
  },
};

async function show(c: Context<AppEnv>): Promise<Response> {
  const hash = await tokenHash(c.req.param("token") ?? "");
  const server = await consoleAuthOf(c.env, hash).serverOf(hash);
  if (server === null) throw notFound("Token not found");
  const info = await c.env.CONSOLE.getByName(server).tokenInfo(hash);
  const screen = info && (await c.env.SERVER.getByName(server).screen(info.bound, false));
  if (info === null || screen?.is !== "here") throw notFound("Token not found");
  // Before, this was for RDP alone, which there is none of.
  if (!has(c.var.minor, "console-token.any-type")) {
    throw badRequest("The requested console type details are not accessible");
  }
  const { connect } = info;
  const port = connect.transport === "tcp" ? connect.port : null;
  const internal_access_path = connect.transport === "unix" ? connect.path : null;
  return c.json({ console: { instance_uuid: server, host: screen.host, port, internal_access_path } });
}
