/** GET /os-migrations (nova/api/openstack/compute/migrations.py): the moves of servers from host to host. */
import type { Context } from "hono";
import type { Migration, MigrationFilter } from "../project/migration.ts";
import type { AppEnv } from "./app-env.ts";
import { badRequest } from "./fault.ts";
import { has } from "./history.ts";
import { migrationView } from "./migration-view.ts";
import { operation, type Paths } from "./operation.ts";
import { paged } from "./paging.ts";
import { requireAdmin } from "./policy.ts";
import { listMigrations, type MigrationQuery } from "./schema/migration.ts";

const RULE = "os_compute_api:os-migrations:index";

export const migrations: Paths = {
  "/os-migrations": {
    GET: operation({
      summary: "List moves of servers: a manager those of one project, an admin all of them",
      rule: RULE,
      role: "manager",
      query: listMigrations,
      status: 200,
      answers: "migrations",
      run: (c, { query }) => list(c, query),
    }),
  },
};

async function list(c: Context<AppEnv>, asked: MigrationQuery): Promise<Response> {
  const { limit, marker, hidden, project_id, ...filter } = asked;
  const { "changes-since": since, "changes-before": before } = filter;
  if (since !== undefined && before !== undefined && since > before) {
    throw badRequest("The value of changes-since must be less than or equal to changes-before.");
  }
  // One that is hidden is never shown, also not to who asks for such.
  const all = hidden ? [] : await movesOf(c, project_id, { ...filter, hidden: false });
  const { page, next } = has(c.var.minor, "migration.paging")
    ? paged(c, { all, idOf: ({ uuid }) => uuid, path: "os-migrations", asked: { limit, marker } })
    : { page: all, next: undefined };
  return c.json({
    migrations: page.map((move) => migrationView(c, move)),
    ...(next ? { migrations_links: next } : {}),
  });
}

/** Newest first: of the project asked for, else of the caller's own, or for an admin of every one. */
async function movesOf(c: Context<AppEnv>, project: string | undefined, filter: MigrationFilter): Promise<Migration[]> {
  const { actor } = c.var;
  if (project !== undefined && project !== actor.project_id) requireAdmin(c, `${RULE}:all_projects`);
  const known = actor.is_admin ? await c.env.IDENTITY.getByName("default").projects() : [{ id: actor.project_id }];
  const wanted = known.filter(({ id }) => project === undefined || id === project);
  const parts = await Promise.all(wanted.map(({ id }) => c.env.PROJECT.getByName(id).migrations(filter)));
  return parts
    .flat()
    .sort((a, b) => (a.created_at < b.created_at ? 1 : a.created_at > b.created_at ? -1 : b.id - a.id));
}
