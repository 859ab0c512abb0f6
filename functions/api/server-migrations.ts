/** /servers/{id}/migrations (nova/api/openstack/compute/server_migrations.py): live migrations that are under way. */
import type { Context } from "hono";
import { z } from "zod";
import type { Migration } from "../project/migration.ts";
import { actionFault } from "./action-fault.ts";
import type { AppEnv } from "./app-env.ts";
import { badRequest, type Fault, notFound } from "./fault.ts";
import { isLive, mayAbort } from "./migration-status.ts";
import { serverMigrationView } from "./migration-view.ts";
import { operation, type Paths } from "./operation.ts";
import { serverOf, serverRecord } from "./servers.ts";

const RULE = "os_compute_api:servers:migrations";

export const serverMigrations: Paths = {
  "/servers/:id/migrations": {
    GET: operation({
      summary: "List a server's live migrations that are under way",
      rule: `${RULE}:index`,
      role: "manager",
      on: "migration.of-server",
      status: 200,
      answers: "migrations",
      run: async (c) => {
        const live = await Promise.all((await movesOf(c)).filter(isLive).map((move) => withProgress(c, move)));
        return c.json({ migrations: live.map((move) => serverMigrationView(c, move)) });
      },
    }),
  },
  "/servers/:id/migrations/:migration": {
    GET: operation({
      summary: "Show a live migration that is under way",
      rule: `${RULE}:show`,
      role: "admin",
      on: "migration.of-server",
      status: 200,
      answers: "migration",
      run: async (c) => c.json({ migration: serverMigrationView(c, await withProgress(c, await liveOf(c))) }),
    }),
    DELETE: operation({
      summary: "Call a live migration off",
      rule: `${RULE}:delete`,
      role: "manager",
      on: "migration.abort",
      status: 202,
      async run(c) {
        const move = await migrating(c, "abort live migration", notFound);
        if (!mayAbort(move.status, c.var.minor)) throw wrongState(c, move.status, "be aborted");
        await steer(c, move, "abort");
        return c.body(null, 202);
      },
    }),
  },
  "/servers/:id/migrations/:migration/action": {
    POST: operation({
      summary: "Complete a live migration now, though the guest has to stop for it: force_complete",
      rule: `${RULE}:force_complete`,
      role: "manager",
      on: "migration.force-complete",
      body: z.strictObject({ force_complete: z.null() }),
      status: 202,
      async run(c) {
        const move = await migrating(c, "force_complete", badRequest);
        if (move.status !== "running") throw wrongState(c, move.status, "force complete");
        await steer(c, move, "force_complete");
        return c.body(null, 202);
      },
    }),
  },
};

async function steer(c: Context<AppEnv>, move: Migration, how: "abort" | "force_complete"): Promise<void> {
  const { id, stub } = serverOf(c);
  const steered = await stub.steerMigration(c.var.actor, move.uuid, how);
  if (steered.ok) return;
  if (steered.error.kind !== "late") throw actionFault(id, steered.error);
  throw wrongState(c, move.status, how === "abort" ? "be aborted" : "force complete");
}

/** As far as the source says that it has come. */
async function withProgress(c: Context<AppEnv>, move: Migration): Promise<Migration> {
  if (move.status !== "running" || move.source_compute === null) return move;
  const told = await c.env.HOST.getByName(move.source_compute).progress(move.instance_uuid);
  if (told?.memory_total === undefined && told?.disk_total === undefined) return move;
  const progress = {
    memory_total: told.memory_total ?? 0,
    memory_processed: told.memory_processed ?? 0,
    memory_remaining: told.memory_remaining ?? 0,
    disk_total: told.disk_total ?? 0,
    disk_processed: told.disk_processed ?? 0,
    disk_remaining: told.disk_remaining ?? 0,
  };
  return { ...move, progress };
}

/** nova: InvalidMigrationState. */
function wrongState(c: Context<AppEnv>, status: string, method: string): Fault {
  const { id } = serverOf(c);
  const migration = numberOf(c);
  return badRequest(
    `Migration ${migration} state of instance ${id} is ${status}. Cannot ${method} while the migration is in this state.`,
  );
}

/** The move in the path, of a server that is being moved: 409 if it is not, `missing` for another's move. */
async function migrating(c: Context<AppEnv>, verb: string, missing: (message: string) => Fault): Promise<Migration> {
  const { uuid, vm_state, task_state, locked_by } = await serverRecord(c);
  if (locked_by && !c.var.actor.is_admin) throw actionFault(uuid, { kind: "locked" });
  if (task_state === null) throw actionFault(uuid, { kind: "invalid_state", verb, attr: "vm_state", state: vm_state });
  if (task_state !== "migrating") {
    throw actionFault(uuid, { kind: "invalid_state", verb, attr: "task_state", state: task_state });
  }
  const move = (await movesOf(c)).find(({ id }) => String(id) === numberOf(c));
  if (!move) throw missing(`Migration ${numberOf(c)} not found for instance ${uuid}`);
  return move;
}

const numberOf = (c: Context<AppEnv>) => (c.req.param("migration") ?? "").slice(0, 64);

/** Every move of the server in the path, if it is there for the caller. */
async function movesOf(c: Context<AppEnv>): Promise<Migration[]> {
  const { uuid, project_id } = await serverRecord(c);
  return c.env.PROJECT.getByName(project_id).migrations({ instance_uuid: uuid, hidden: false });
}

/** The live migration in the path. */
async function liveOf(c: Context<AppEnv>): Promise<Migration> {
  const { id } = serverOf(c);
  const number = numberOf(c);
  const move = (await movesOf(c)).find((one) => String(one.id) === number);
  if (!move) throw notFound(`In-progress live migration ${number} is not found for server ${id}.`);
  if (move.migration_type !== "live-migration") {
    throw notFound(`Migration ${number} for server ${id} is not live-migration.`);
  }
  if (!isLive(move)) throw notFound(`Live migration ${number} for server ${id} is not in progress.`);
  return move;
}
