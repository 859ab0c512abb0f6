/** Resizing and moving (nova: servers.py _action_resize, migrate_server.py, evacuate.py, shelve.py). */
import type { Context } from "hono";
import { z } from "zod";
import type { Flavor } from "../../compute/flavor.ts";
import { leaseIsOverAt } from "../../compute/lease.ts";
import type { ServerRecord } from "../../conductor/record.ts";
import { wouldShrink } from "../../conductor/sizes.ts";
import { config } from "../../config.ts";
import { actionFault } from "../action-fault.ts";
import type { AppEnv } from "../app-env.ts";
import { badRequest, conflict, instanceNotFound, notFound } from "../fault.ts";
import { has } from "../history.ts";
import { requireAdmin } from "../policy.ts";
import { boolean } from "../schema/fields.ts";
import { versioned } from "../schema/versioned.ts";
import { generatePassword } from "../server-given.ts";
import { checkFits } from "../server-spec.ts";
import { serverOf, serverRecord } from "../servers.ts";
import { action, begin, plain, type ServerActions } from "./action.ts";

const host = z
  .string()
  .min(1)
  .max(255)
  .regex(/^[a-zA-Z0-9-._]+$/, "It is not the name of a host.");

const resize = z.strictObject({
  flavorRef: z.union([z.string().min(1).max(255), z.int().min(0).transform(String)]),
  "OS-DCF:diskConfig": z.enum(["AUTO", "MANUAL"]).optional(),
});

const anything = z.unknown().transform(() => null);
const target = z.strictObject({ host: host.nullable().optional() }).nullable();
const migrate = (minor: number): z.ZodType<z.infer<typeof target>> =>
  has(minor, "do.migrate-host") ? target : anything;

const migrateLive = versioned({
  host: { schema: host.nullable(), required: true },
  block_migration: [
    { schema: z.union([z.literal("auto"), boolean]), on: "do.migrate-live-auto", required: true },
    { schema: boolean, required: true },
  ],
  disk_over_commit: { schema: boolean, on: "do.migrate-live-disk", required: true },
  force: { schema: boolean, on: "do.migrate-live-force" },
});

const evacuate = versioned({
  host: { schema: host },
  adminPass: { schema: z.string().max(4096) },
  onSharedStorage: { schema: boolean, on: "do.evacuate-shared-storage", required: true },
  force: { schema: boolean, on: "do.evacuate-force" },
});

export const move: ServerActions = {
  resize: action({
    summary: "Resize a server",
    rule: "os_compute_api:servers:resize",
    role: "member",
    value: resize,
    status: 202,
    async run(c, { flavorRef }) {
      const flavor = await targetFlavor(c, flavorRef.split("/").at(-1) ?? flavorRef);
      await checkHostIsUp(c);
      await begin(c, "resize", { change: { new_flavor: flavor } });
      return c.body(null, 202);
    },
  }),
  confirmResize: plain("confirm_resize", {
    summary: "Confirm a resize",
    rule: "os_compute_api:servers:confirm_resize",
    status: 204,
  }),
  revertResize: plain("revert_resize", { summary: "Revert a resize", rule: "os_compute_api:servers:revert_resize" }),
  migrate: action({
    summary: "Move a server to another host, switched off",
    rule: "os_compute_api:os-migrate-server:migrate",
    role: "manager",
    value: migrate,
    status: 202,
    async run(c, target) {
      const host = target?.host ?? null;
      if (host !== null) {
        requireAdmin(c, "os_compute_api:os-migrate-server:migrate:host");
        const known = await isKnown(c, host);
        if (!known) throw badRequest(`Compute host ${host} could not be found.`);
        if ((await serverRecord(c)).host === host) {
          throw badRequest("Cannot migrate to the host where the server exists.");
        }
      }
      await checkHostIsUp(c);
      await begin(c, "migrate", { memo: { move: host === null ? {} : { target: { host, forced: false } } } });
      return c.body(null, 202);
    },
  }),
  "os-migrateLive": action({
    summary: "Move a running server to another host",
    rule: "os_compute_api:os-migrate-server:migrate_live",
    role: "manager",
    value: migrateLive,
    status: 202,
    async run(c, { host, block_migration, force = false }) {
      if (host !== null) {
        requireAdmin(c, "os_compute_api:os-migrate-server:migrate_live:host");
        if (!(await isKnown(c, host))) throw badRequest(`Compute host ${host} could not be found.`);
      }
      await checkHostIsUp(c);
      const forced = force || !has(c.var.minor, "do.migrate-live-scheduled");
      const move = {
        ...(host === null ? {} : { target: { host, forced } }),
        block_migration: block_migration === "auto" ? null : block_migration,
      };
      const { id, stub } = serverOf(c);
      const wait = has(c.var.minor, "do.migrate-live-async") ? {} : { wait: true as const };
      const begun = await stub.act(c.var.actor, "live_migrate", { memo: { move }, ...wait });
      if (!begun.ok && begun.error.kind === "failed") throw badRequest(begun.error.message);
      if (!begun.ok) throw actionFault(id, begun.error);
      return c.body(null, 202);
    },
  }),
  evacuate: action({
    summary: "Build a server anew that a host which is down had",
    rule: "os_compute_api:os-evacuate",
    role: "admin",
    value: evacuate,
    status: 200,
    async run(c, { host, adminPass, onSharedStorage, force = false }) {
      const record = await serverRecord(c);
      if (host !== undefined && !(await isKnown(c, host))) throw notFound(`Compute host ${host} not found.`);
      if (host !== undefined && record.host === host) throw badRequest("The target host can't be the same one.");
      if (onSharedStorage && adminPass !== undefined) {
        throw badRequest("admin password can't be changed on existing disk");
      }
      await checkHostIsDown(c);
      const forced = force || !has(c.var.minor, "do.evacuate-scheduled");
      const move = {
        ...(onSharedStorage === undefined ? {} : { on_shared_storage: onSharedStorage }),
        ...(host === undefined ? {} : { target: { host, forced } }),
        off: has(c.var.minor, "do.evacuate-stopped"),
      };
      const admin_pass = adminPass ?? (onSharedStorage ? null : generatePassword());
      const secrets = admin_pass === null ? {} : { secrets: { admin_pass, files: [] } };
      await begin(c, "evacuate", { memo: { move }, ...secrets });
      const isTold = has(c.var.minor, "do.evacuate-shared-storage") && config(c.env).ENABLE_INSTANCE_PASSWORD;
      return isTold ? c.json({ adminPass: admin_pass }) : c.body(null, 200);
    },
  }),
};

/** The flavor that is asked for: another one, and none that takes the disk away. */
async function targetFlavor(c: Context<AppEnv>, ref: string): Promise<Flavor> {
  const { id, stub } = serverOf(c);
  const [flavor, record] = await Promise.all([
    c.env.FLAVORS.getByName("default").get(ref, c.var.actor),
    stub.show(c.var.actor),
  ]);
  if (record === null) throw instanceNotFound(id);
  if (flavor === null) throw badRequest(`Flavor ${ref.slice(0, 64)} could not be found.`);
  if (flavor.flavorid === record.flavor.flavorid) throw badRequest("When resizing, instances must change flavor!");
  if (flavor.disk === 0 && record.flavor.disk !== 0) {
    throw badRequest("Resize to flavor with zero disk is not allowed for a server that boots from an image.");
  }
  // Nova's libvirt driver finds it out later, by a fault (ResizeError); it is known now.
  if (wouldShrink(record as ServerRecord, flavor)) throw badRequest("Resize error: Unable to resize disk down.");
  const { image, image_properties: properties = {} } = record;
  // An image that is gone asks for nothing any more.
  const { min_ram = 0, min_disk = 0 } = (await c.env.IMAGES.getByName("default").get(image.id)) ?? {};
  checkFits(flavor, { ref: image, min_ram, min_disk, properties });
  return flavor;
}

const isKnown = async (c: Context<AppEnv>, host: string) =>
  (await c.env.SCHEDULER.getByName("default").named({ host })) !== null;

/** nova: check_instance_host(check_is_up=True). */
async function checkHostIsUp(c: Context<AppEnv>): Promise<void> {
  const { host } = await serverRecord(c);
  const state = host === null ? null : await c.env.HOST.getByName(host).state();
  if (state !== null && !state.up) throw conflict("Service is unavailable at this time.");
}

/** nova: ComputeServiceInUse. Two guests of one server on one disk would destroy it. */
async function checkHostIsDown(c: Context<AppEnv>): Promise<void> {
  const { host } = await serverRecord(c);
  if (host === null) return;
  const stub = c.env.HOST.getByName(host);
  if ((await stub.state())?.up) throw badRequest(`Compute service of ${host} is still in use.`);
  if (config(c.env).FENCING_LEASE === 0) return;
  const { connected, seen_at, lease } = await stub.reach();
  if (lease === null) throw conflict(`Guests of ${host} may still run: its agent was never given a lease.`);
  const over = leaseIsOverAt(seen_at, lease, Date.now());
  if (!connected && over <= Date.now()) return;
  const when = connected ? "after its agent is gone" : `at ${new Date(over).toISOString()}`;
  throw conflict(`Guests of ${host} may still run: its lease is over ${when}.`);
}
