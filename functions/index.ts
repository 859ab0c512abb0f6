/** The Worker: the API, the viewer's pages, and the door for consoles and agents. */
import { env } from "cloudflare:workers";
import { createApp } from "./api/app.ts";
import { config } from "./config.ts";
import { frameAncestors } from "./console/origin.ts";
import { upgradeConsole } from "./console/upgrade.ts";
import { checkPlugins } from "./scheduler/available.ts";

export { Flavors } from "./compute/flavors.ts";
export { Host } from "./compute/host.ts";
export { Server } from "./conductor/server.ts";
export { Console } from "./console/console.ts";
export { ConsoleAuth } from "./console/console-auth.ts";
export { Drain } from "./drain/drain.ts";
export { Identity } from "./identity/identity.ts";
export { Images } from "./image/images.ts";
export { Keypairs } from "./keypair/keypairs.ts";
export { Move } from "./move/move.ts";
export { Project } from "./project/project.ts";
export { QuotaClass } from "./project/quota-class.ts";
export { Scheduler } from "./scheduler/scheduler.ts";

// A filter that there is not is told before the first request comes, and keeps a deploy from succeeding.
checkPlugins(env);

const app = createApp();

/** The viewer's pages; everything else that is not below these names is an API. */
const PAGE = /^\/vnc(_auto|_lite)?\.html$/;

export default {
  async fetch(request, env, ctx) {
    const { pathname } = new URL(request.url);
    const upgrades = request.headers.get("upgrade")?.toLowerCase() === "websocket";
    if (upgrades && !pathname.startsWith("/agent/")) return upgradeConsole(request, env);
    if (PAGE.test(pathname)) return framed(await env.ASSETS.fetch(request), env);
    return app.fetch(request, env, ctx);
  },
} satisfies ExportedHandler<Env>;

/** A viewer's page, with what the deployment says of who may show it in a frame. */
function framed(page: Response, env: Env): Response {
  const ancestors = frameAncestors(config(env));
  const policy = page.headers.get("content-security-policy");
  if (ancestors === null || policy === null) return page;
  const headers = new Headers(page.headers);
  headers.set("content-security-policy", `${policy}; ${ancestors}`);
  return new Response(page.body, { status: page.status, statusText: page.statusText, headers });
}
