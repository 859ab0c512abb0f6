/** Where the body of POST /servers wants a server: a zone, a host by force, or a host that the filters must let through (nova/compute/api.py parse_availability_zone, _validate_host_or_node). */
import type { Context } from "hono";
import type { CreateSpec } from "../conductor/record.ts";
import { config } from "../config.ts";
import type { AppEnv } from "./app-env.ts";
import { badRequest } from "./fault.ts";
import { requireAdmin } from "./policy.ts";
import type { CreateBody } from "./schema/server.ts";

type Place = Pick<CreateSpec, "availability_zone" | "requested_host" | "requested_destination">;

/** 400 for what is not there, 403 for what admins alone may ask. */
export async function placeOf(c: Context<AppEnv>, { server }: CreateBody): Promise<Place> {
  const { zone, host, node } = zoneForm(server.availability_zone ?? "");
  const wanted = { host: server.host, node: server.hypervisor_hostname };
  const forced = host !== "" || node !== "";
  const destined = wanted.host !== undefined || wanted.node !== undefined;
  if (destined) {
    requireAdmin(c, "compute:servers:create:requested_destination");
    if (forced) {
      throw badRequest(
        "One mechanism with host and/or hypervisor_hostname and another mechanism with zone:host:node are mutually exclusive.",
      );
    }
  }
  if (forced) requireAdmin(c, "os_compute_api:servers:create:forced_host");
  const place = { availability_zone: zone || null, requested_host: null, requested_destination: null };
  const always = zone === "" || zone === config(c.env).DEFAULT_AVAILABILITY_ZONE;
  if (always && !forced && !destined) return place;
  if (!always && !(await c.env.SCHEDULER.getByName("default").isOpen(zone))) {
    throw badRequest("The requested availability zone is not available");
  }
  if (destined) return { ...place, requested_destination: await hostNamed(c, wanted) };
  // A host by force need not be known: the build says that it is no valid one.
  if (node === "") return forced ? { ...place, requested_host: host } : place;
  return { ...place, requested_host: await hostNamed(c, { host: host || undefined, node }) };
}

/** `zone`, `zone:host`, `zone:host:node` or `zone::node`; what is not said is empty. */
function zoneForm(text: string): { zone: string; host: string; node: string } {
  const [zone = "", host = "", node = "", ...more] = text.split(":");
  if (more.length > 0) throw badRequest("Invalid input received: Unable to parse availability_zone");
  return { zone, host, node };
}

/** The host that has the name, or whose node has, or both. */
async function hostNamed(
  c: Context<AppEnv>,
  wanted: { host?: string | undefined; node?: string | undefined },
): Promise<string> {
  const found = await c.env.SCHEDULER.getByName("default").named(wanted);
  if (found === null) throw badRequest(`Compute host ${wanted.host ?? wanted.node} could not be found.`);
  return found;
}
