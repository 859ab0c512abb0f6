/** Users, projects and roles of this deployment, and the keys of its agents (what clients need of Keystone). */
import { DurableObject } from "cloudflare:workers";
import { timingSafeEqual } from "node:crypto";
import { config } from "../config.ts";
import { err, ok, type Result } from "../result.ts";
import { migrate } from "../store/migrate.ts";
import type { TokenClaims } from "./token.ts";

/** The first project and the first user; fixed, so that every deployment's clouds.yaml reads alike. */
export const DEFAULT_PROJECT = { id: "6d0f4ac1b2f94d0f9d5c3c1a7e5b2a10", name: "demo" } as const;
const ADMIN_USER = { id: "0c7a1d9e54f84f6ab3b8c2f6f2d4e901", name: "admin" } as const;
export const DEFAULT_DOMAIN = { id: "default", name: "Default" } as const;

const MIGRATIONS = [
  `CREATE TABLE project (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE) WITHOUT ROWID;
   CREATE TABLE user (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE) WITHOUT ROWID;
   CREATE TABLE role (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE) WITHOUT ROWID;
   CREATE TABLE assignment (
     user_id TEXT NOT NULL, project_id TEXT NOT NULL, role_id TEXT NOT NULL,
     PRIMARY KEY (user_id, project_id, role_id)
   ) WITHOUT ROWID;
   CREATE TABLE join_token (hash TEXT PRIMARY KEY, host TEXT, expires_at INTEGER NOT NULL, used_by TEXT) WITHOUT ROWID;
   CREATE TABLE agent (host TEXT PRIMARY KEY, public_key TEXT NOT NULL, enrolled_at TEXT NOT NULL) WITHOUT ROWID;
   INSERT INTO project VALUES ('${DEFAULT_PROJECT.id}', '${DEFAULT_PROJECT.name}');
   INSERT INTO user VALUES ('${ADMIN_USER.id}', '${ADMIN_USER.name}');
   INSERT INTO role VALUES
     ('9fe2ff9ee4384b1894a90878d3e92bab', 'reader'), ('a2c1f2d0c9b74e0a8a4f8a9cbe0f7d11', 'member'),
     ('c4b3a0d86f2e4a0c9a55d8a1c3d9e722', 'manager'), ('d7e0b6f1a4c94a7f8f0d6b2e9c8a5b33', 'admin');
   INSERT INTO assignment VALUES
     ('${ADMIN_USER.id}', '${DEFAULT_PROJECT.id}', 'd7e0b6f1a4c94a7f8f0d6b2e9c8a5b33'),
     ('${ADMIN_USER.id}', '${DEFAULT_PROJECT.id}', 'a2c1f2d0c9b74e0a8a4f8a9cbe0f7d11'),
     ('${ADMIN_USER.id}', '${DEFAULT_PROJECT.id}', '9fe2ff9ee4384b1894a90878d3e92bab');`,
] as const;

type Named = { id: string; name: string };
export type Credentials = { user: Partial<Named>; password: string; scope: Partial<Named> | null };
export type Enrolment = { join_token_hash: string; host: string; public_key: string };

export class Identity extends DurableObject<Env> {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    migrate(ctx.storage, MIGRATIONS);
  }

  /** Who these credentials are, with the roles on the scope; "unauthorized" for every way they can be wrong. */
  authenticate(given: Credentials): Result<Pick<TokenClaims, "user" | "project" | "roles">, "unauthorized"> {
    const user = this.#named("user", given.user);
    // The only user is the operator, whose password is the deployment's secret: it rotates with it.
    if (!sameSecret(given.password, config(this.env).ADMIN_PASSWORD) || user === null) return err("unauthorized");
    if (given.scope === null) return ok({ user, project: null, roles: [] });
    const project = this.#named("project", given.scope);
    if (project === null) return err("unauthorized");
    const roles = this.ctx.storage.sql
      .exec<Named>(
        `SELECT role.id, role.name FROM assignment JOIN role ON role.id = role_id
         WHERE user_id = ? AND project_id = ? ORDER BY role.name`,
        user.id,
        project.id,
      )
      .toArray();
    return roles.length === 0 ? err("unauthorized") : ok({ user, project, roles });
  }

  projects(): Named[] {
    return this.ctx.storage.sql.exec<Named>("SELECT id, name FROM project ORDER BY name").toArray();
  }

  /** Stores a join token's hash. `host`: the only name it may enrol; null: any. */
  addJoinToken(hash: string, host: string | null, expiresAt: number): void {
    this.ctx.storage.sql.exec("DELETE FROM join_token WHERE expires_at <= ?", Date.now());
    this.ctx.storage.sql.exec("INSERT INTO join_token VALUES (?, ?, ?, NULL)", hash, host, expiresAt);
  }

  /** Spends a join token on a host's key. The same enrolment again is the same enrolment: its answer may have been lost. */
  enrol({ join_token_hash, host, public_key }: Enrolment): Result<undefined, "bad_token" | "other_host" | "spent"> {
    const { sql } = this.ctx.storage;
    const token = sql
      .exec<{ host: string | null; expires_at: number; used_by: string | null }>(
        "SELECT host, expires_at, used_by FROM join_token WHERE hash = ?",
        join_token_hash,
      )
      .toArray()[0];
    if (!token || token.expires_at <= Date.now()) return err("bad_token");
    if (token.host !== null && token.host !== host) return err("other_host");
    const claim = `${host} ${public_key}`;
    if (token.used_by !== null) return token.used_by === claim ? ok() : err("spent");
    sql.exec("UPDATE join_token SET used_by = ? WHERE hash = ?", claim, join_token_hash);
    sql.exec("INSERT OR REPLACE INTO agent VALUES (?, ?, ?)", host, public_key, new Date().toISOString());
    return ok();
  }

  /** The public key (JWK as JSON) that `host` enrolled with; null for a host that never did. */
  agentKey(host: string): string | null {
    const row = this.ctx.storage.sql
      .exec<{ public_key: string }>("SELECT public_key FROM agent WHERE host = ?", host)
      .toArray()[0];
    return row?.public_key ?? null;
  }

  removeAgent(host: string): void {
    this.ctx.storage.sql.exec("DELETE FROM agent WHERE host = ?", host);
  }

  #named(table: "user" | "project", given: Partial<Named>): Named | null {
    const [column, value] = given.id !== undefined ? ["id", given.id] : ["name", given.name ?? ""];
    return (
      this.ctx.storage.sql.exec<Named>(`SELECT id, name FROM ${table} WHERE ${column} = ?`, value).toArray()[0] ?? null
    );
  }
}

/** Compares without telling by its time where the texts differ; a wrong length compares a text with itself. */
function sameSecret(given: string, secret: string): boolean {
  const encoder = new TextEncoder();
  const [a, b] = [encoder.encode(given), encoder.encode(secret)];
  const equal = timingSafeEqual(a.length === b.length ? a : b, b);
  return equal && a.length === b.length;
}
