/** Application credentials: a user's own keys to one project, with no more than the roles he had. */
import { err, ok, type Result } from "../result.ts";
import type { Named } from "./directory.ts";

export type AppCredential = Named & {
  user_id: string;
  project_id: string;
  description: string;
  roles: Named[];
  /** Milliseconds since the epoch; null: never. */
  expires_at: number | null;
  /** Whether its tokens may make and delete application credentials. */
  unrestricted: boolean;
};
/** `secret`: scrypt's text. */
export type NewAppCredential = Omit<AppCredential, "id"> & { secret: string };

/** Of one user: a list that is read whole. */
const MAX_PER_USER = 100;

export const APP_CREDENTIAL_TABLE = `CREATE TABLE app_credential (
  id TEXT PRIMARY KEY, user_id TEXT NOT NULL, project_id TEXT NOT NULL, name TEXT NOT NULL, secret TEXT NOT NULL,
  description TEXT NOT NULL, roles TEXT NOT NULL, expires_at INTEGER, unrestricted INTEGER NOT NULL,
  UNIQUE (user_id, name)
) WITHOUT ROWID;`;

const COLUMNS = "id, user_id, project_id, name, description, roles, expires_at, unrestricted";
type Row = Omit<AppCredential, "roles" | "unrestricted"> & { roles: string; unrestricted: number };

export class AppCredentials {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  create(given: NewAppCredential): Result<AppCredential, "conflict" | "too_many"> {
    const all = this.list(given.user_id);
    if (all.some(({ name }) => name === given.name)) return err("conflict");
    if (all.length >= MAX_PER_USER) return err("too_many");
    const { secret, ...shown } = { ...given, id: crypto.randomUUID().replaceAll("-", "") };
    this.#sql.exec(
      `INSERT INTO app_credential (${COLUMNS}, secret) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      shown.id,
      shown.user_id,
      shown.project_id,
      shown.name,
      shown.description,
      JSON.stringify(shown.roles),
      shown.expires_at,
      Number(shown.unrestricted),
      secret,
    );
    return ok(shown);
  }

  list(userId: string): AppCredential[] {
    const text = `SELECT ${COLUMNS} FROM app_credential WHERE user_id = ? ORDER BY name`;
    return this.#sql.exec<Row>(text, userId).toArray().map(credential);
  }

  find(id: string): AppCredential | null {
    const row = this.#sql.exec<Row>(`SELECT ${COLUMNS} FROM app_credential WHERE id = ?`, id).toArray()[0];
    return row ? credential(row) : null;
  }

  secret(id: string): string | null {
    const text = "SELECT secret FROM app_credential WHERE id = ?";
    return this.#sql.exec<{ secret: string }>(text, id).toArray()[0]?.secret ?? null;
  }

  remove(id: string): void {
    this.#sql.exec("DELETE FROM app_credential WHERE id = ?", id);
  }

  /** A user or a project is gone: what was made for it goes too. */
  removeOf(kind: "user" | "project", id: string): void {
    this.#sql.exec(`DELETE FROM app_credential WHERE ${kind}_id = ?`, id);
  }

  /** The user's roles on the project are fewer: what was made of more of them is gone, as in Keystone. */
  shrink(userId: string, projectId: string, left: readonly Named[]): void {
    for (const one of this.list(userId)) {
      if (one.project_id === projectId && !within(one.roles, left)) this.remove(one.id);
    }
  }
}

/** Whether every one of `roles` is among `held`. */
export function within(roles: readonly Named[], held: readonly Named[]): boolean {
  return roles.every(({ id }) => held.some((role) => role.id === id));
}

function credential(row: Row): AppCredential {
  const roles: Named[] = JSON.parse(row.roles);
  return { ...row, roles, unrestricted: row.unrestricted !== 0 };
}
