/** Shelving (nova/api/openstack/compute/shelve.py). */
import type { Context } from "hono";
import { z } from "zod";
import type { AppEnv } from "../app-env.ts";
import { badRequest, conflict } from "../fault.ts";
import { has } from "../history.ts";
import { requireAdmin } from "../policy.ts";
import { fqdn, name } from "../schema/fields.ts";
import { serverRecord } from "../servers.ts";
import { action, begin, plain, type ServerActions } from "./action.ts";

type Where = { availability_zone?: string | null | undefined; host?: string | undefined } | null;
const anywhere = z.unknown().transform(() => null);
const zone = z.strictObject({ availability_zone: name }).nullable();
const zoneOrHost = z
  .strictObject({ availability_zone: name.nullable().optional(), host: fqdn.optional() })
  .refine((where) => Object.keys(where).length > 0, "It names neither a zone nor a host.")
  .nullable();

const where = (minor: number): z.ZodType<Where> => {
  if (has(minor, "do.unshelve-host")) return zoneOrHost;
  return has(minor, "do.unshelve-zone") ? zone : anywhere;
};

const RULE = "os_compute_api:os-shelve";

export const shelving: ServerActions = {
  shelve: plain("shelve", { summary: "Shelve a server", rule: `${RULE}:shelve` }),
  shelveOffload: plain("shelve_offload", {
    summary: "Free the host of a shelved server",
    rule: `${RULE}:shelve_offload`,
    role: "admin",
  }),
  unshelve: action({
    summary: "Bring a shelved server back",
    rule: `${RULE}:unshelve`,
    role: "member",
    value: where,
    status: 202,
    async run(c, asked) {
      // What the server was once created at is no matter any more.
      const change = { requested_host: null, requested_destination: null };
      await begin(c, "unshelve", { change: asked === null ? change : { ...change, ...(await destination(c, asked)) } });
      return c.body(null, 202);
    },
  }),
};

/** Where it is to come back; only a server that has no host can choose (nova: UnshelveInstanceInvalidState). */
async function destination(c: Context<AppEnv>, { availability_zone, host }: NonNullable<Where>) {
  if (host !== undefined) requireAdmin(c, `${RULE}:unshelve_to_host`);
  const record = await serverRecord(c);
  if (record.vm_state !== "shelved_offloaded") {
    throw conflict(
      `Specifying a destination for unshelve is only allowed for offloaded servers: instance ${record.uuid} is in vm_state ${record.vm_state}`,
    );
  }
  const scheduler = c.env.SCHEDULER.getByName("default");
  if (host !== undefined && (await scheduler.named({ host })) === null) {
    throw badRequest(`Compute host ${host} could not be found.`);
  }
  if (availability_zone && !(await scheduler.isOpen(availability_zone))) {
    throw badRequest("The requested availability zone is not available");
  }
  return {
    ...(availability_zone === undefined ? {} : { availability_zone }),
    requested_destination: host ?? null,
  };
}
