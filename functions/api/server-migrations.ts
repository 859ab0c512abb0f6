/** /servers/{id}/migrations (nova/api/openstack/compute/server_migrations.py): live migrations that are under way. */
import type { Context } from "hono";
import { z } from "zod";
import { NO_WAY } from "../conductor/move.ts";
import type { Migration } from "../project/migration.ts";
import { actionFault } from "./action-fault.ts";
import type { AppEnv } from "./app-env.ts";
import { badRequest, Fault, notFound } from "./fault.ts";
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
        const live = (await movesOf(c)).filter(isLive);
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
      run: async (c) => c.json({ migration: serverMigrationView(c, await liveOf(c)) }),
    }),
    DELETE: operation({
      summary: "Call a live migration off",
      rule: `${RULE}:delete`,
      role: "manager",
      on: "migration.abort",
      status: 202,
      async run(c) {
        const { status } = await migrating(c, "abort live migration", notFound);
        if (mayAbort(status, c.var.minor)) throw noneCan();
        throw wrongState(c, status, "be aborted");
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
        const { status } = await migrating(c, "force_complete", badRequest);
        if (status === "running") throw noneCan();
        throw wrongState(c, status, "force complete");
      },
    }),
  },
};

/** A host here sends no guest to another one, so that nothing under way can be steered either. */
const noneCan = () => new Fault(501, NO_WAY.message);

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
