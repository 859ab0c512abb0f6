/** Resizing and moving (nova: servers.py _action_resize, migrate_server.py, evacuate.py, shelve.py). */
import type { Context } from "hono";
import { z } from "zod";
import type { Flavor } from "../../compute/flavor.ts";
import type { AppEnv } from "../app-env.ts";
import { badRequest, instanceNotFound } from "../fault.ts";
import { has } from "../history.ts";
import { requireAdmin } from "../policy.ts";
import { boolean } from "../schema/fields.ts";
import { versioned } from "../schema/versioned.ts";
import { serverOf } from "../servers.ts";
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
      await begin(c, "resize", { change: { new_flavor: flavor }, wait: true });
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
      if (target?.host) requireAdmin(c, "os_compute_api:os-migrate-server:migrate:host");
      await begin(c, "migrate", { wait: true });
      return c.body(null, 202);
    },
  }),
  "os-migrateLive": action({
    summary: "Move a running server to another host",
    rule: "os_compute_api:os-migrate-server:migrate_live",
    role: "manager",
    value: migrateLive,
    status: 202,
    async run(c, target) {
      if (target.host) requireAdmin(c, "os_compute_api:os-migrate-server:migrate_live:host");
      await begin(c, "live_migrate", { wait: true });
      return c.body(null, 202);
    },
  }),
  evacuate: action({
    summary: "Build a server anew that a host which is down had",
    rule: "os_compute_api:os-evacuate",
    role: "admin",
    value: evacuate,
    status: 200,
    async run(c) {
      await checkHostIsDown(c);
      await begin(c, "evacuate", { wait: true });
      return c.body(null, 200);
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
  return flavor;
}

/** nova: ComputeServiceInUse. Two guests of one server on one disk would destroy it. */
async function checkHostIsDown(c: Context<AppEnv>): Promise<void> {
  const { id, stub } = serverOf(c);
  const record = await stub.show(c.var.actor);
  if (record === null) throw instanceNotFound(id);
  const state = record.host === null ? null : await c.env.HOST.getByName(record.host).state();
  if (state?.up) throw badRequest(`Compute service of ${record.host} is still in use.`);
}
