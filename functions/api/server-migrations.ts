/** /servers/{id}/migrations (nova/api/openstack/compute/server_migrations.py): live migrations that are under way. */
import type { Context } from "hono";
import type { Migration } from "../project/migration.ts";
import type { AppEnv } from "./app-env.ts";
import { instanceNotFound, notFound } from "./fault.ts";
import { isLive, serverMigrationView } from "./migration-view.ts";
import { operation, type Paths } from "./operation.ts";
import { serverOf } from "./servers.ts";

const RULE = "os_compute_api:servers:migrations";

export const serverMigrations: Paths = {
  "/servers/:id/migrations": {
    GET: operation({
      summary: "List a server's live migrations that are under way",
      rule: `${RULE}:index`,
      role: "manager",
      on: "migration.of-server",
      status: 200,
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
      run: async (c) => c.json({ migration: serverMigrationView(c, await liveOf(c)) }),
    }),
  },
};

/** Every move of the server in the path, if it is there for the caller. */
async function movesOf(c: Context<AppEnv>): Promise<Migration[]> {
  const { id, stub } = serverOf(c);
  const record = await stub.show(c.var.actor);
  if (record === null) throw instanceNotFound(id);
  return c.env.PROJECT.getByName(record.project_id).migrations({ instance_uuid: id, hidden: false });
}

/** The live migration in the path. */
async function liveOf(c: Context<AppEnv>): Promise<Migration> {
  const { id } = serverOf(c);
  const number = (c.req.param("migration") ?? "").slice(0, 64);
  const move = (await movesOf(c)).find((one) => String(one.id) === number);
  if (!move) throw notFound(`In-progress live migration ${number} is not found for server ${id}.`);
  if (move.migration_type !== "live-migration") {
    throw notFound(`Migration ${number} for server ${id} is not live-migration.`);
  }
  if (!isLive(move)) throw notFound(`Live migration ${number} for server ${id} is not in progress.`);
  return move;
}
