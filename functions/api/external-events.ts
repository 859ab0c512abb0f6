/**
 * POST /os-server-external-events (nova/api/openstack/compute/server_external_events.py): other services tell of what
 * they did for a server. Nothing here waits for a network, a volume or an accelerator, and a host tells the power state
 * of its guests itself; so an event is checked and answered as Nova answers it, and like one that nobody waits for there
 * it changes nothing (Nova's libvirt driver does not act on power-update either).
 */
import type { Context } from "hono";
import type { AppEnv } from "./app-env.ts";
import { notFound } from "./fault.ts";
import { operation, type Paths } from "./operation.ts";
import { type ExternalEvent, externalEvents } from "./schema/external-event.ts";

export const serverExternalEvents: Paths = {
  "/os-server-external-events": {
    POST: operation({
      summary: "Tell of what another service did for servers",
      rule: "os_compute_api:os-server-external-events:create",
      role: "service",
      body: externalEvents,
      status: [200, 207],
      answers: "events",
      run: (c, { body }) => create(c, body.events),
    }),
  },
};

/** The tags that an event must have one of; null: any. */
const TAGS: Readonly<Record<string, readonly string[] | null>> = {
  "volume-extended": null,
  "power-update": ["POWER_ON", "POWER_OFF"],
};

async function create(c: Context<AppEnv>, events: readonly ExternalEvent[]): Promise<Response> {
  const servers = [...new Set(events.map((event) => event.server_uuid))];
  // A service tells of every project's servers, whichever its own is.
  const actor = { ...c.var.actor, is_admin: true };
  const hosts = new Map(
    await Promise.all(servers.map(async (id) => [id, (await c.env.SERVER.getByName(id).show(actor))?.host] as const)),
  );
  const answered = events.map((event) => {
    const code = codeOf(event, hosts.get(event.server_uuid));
    return { ...event, status: code === 200 ? "completed" : "failed", code };
  });
  if (answered.every(({ code }) => code !== 200)) throw notFound("No instances found for any event");
  return c.json({ events: answered }, answered.every(({ code }) => code === 200) ? 200 : 207);
}

/** `host`: null for a server that is on none, undefined where there is no server. */
function codeOf({ name, tag }: ExternalEvent, host: string | null | undefined): 200 | 400 | 404 | 422 {
  if (host === undefined) return 404;
  const tags = TAGS[name];
  if (tags !== undefined && (tag === undefined || (tags !== null && !tags.includes(tag)))) return 400;
  return host === null ? 422 : 200;
}
