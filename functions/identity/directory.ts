/** Users, projects and roles in SQL: rows in, rows out. What follows from a change (revocation) is identity.ts's. */
import { err, ok, type Result } from "../result.ts";
import { ADMIN_USER, DEFAULT_PROJECT, LADDER, SERVICE_ROLE } from "./tables.ts";

export type Named = { id: string; name: string };
export type Kind = "user" | "project" | "role";
/** One shape for the three: a role is always enabled, and only a user has the last two. */
export type Entity = Named & {
  enabled: boolean;
  description: string;
  email: string | null;
  default_project_id: string | null;
};
/** `password`: scrypt's text; null takes it away. */
export type Fields = {
  name?: string | undefined;
  enabled?: boolean | undefined;
  description?: string | undefined;
  email?: string | null | undefined;
  default_project_id?: string | null | undefined;
  password?: string | null | undefined;
};
export type Filter = { name?: string | undefined; enabled?: boolean | undefined };
/** "protected": the operator's way in, or a role that policy is made of. */
export type Refusal = "not_found" | "conflict" | "protected";

const COLUMNS: Record<Kind, string> = {
  user: "id, name, enabled, description, email, default_project_id",
  project: "id, name, enabled, description, NULL AS email, NULL AS default_project_id",
  role: "id, name, 1 AS enabled, description, NULL AS email, NULL AS default_project_id",
};
const WRITABLE: Record<Kind, readonly (keyof Fields)[]> = {
  user: ["name", "enabled", "description", "email", "default_project_id", "password"],
  project: ["name", "enabled", "description"],
  role: ["name", "description"],
};
const FIXED: Record<Kind, readonly string[]> = {
  user: [ADMIN_USER.id],
  project: [DEFAULT_PROJECT.id],
  role: [...LADDER, SERVICE_ROLE].map(({ id }) => id),
};

type Row = Named & {
  enabled: number;
  description: string;
  email: string | null;
  default_project_id: string | null;
};

export class Directory {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  list(kind: Kind, { name, enabled }: Filter): Entity[] {
    const where = ["1"];
    const values: (string | number)[] = [];
    if (name !== undefined) {
      where.push("name = ?");
      values.push(name);
    }
    if (enabled !== undefined && kind !== "role") {
      where.push("enabled = ?");
      values.push(Number(enabled));
    }
    const text = `SELECT ${COLUMNS[kind]} FROM ${kind} WHERE ${where.join(" AND ")} ORDER BY name`;
    return this.#sql
      .exec<Row>(text, ...values)
      .toArray()
      .map(entity);
  }

  find(kind: Kind, by: Partial<Named>): Entity | null {
    const [column, value] = by.id !== undefined ? ["id", by.id] : ["name", by.name ?? ""];
    const text = `SELECT ${COLUMNS[kind]} FROM ${kind} WHERE ${column} = ?`;
    const row = this.#sql.exec<Row>(text, value).toArray()[0];
    return row ? entity(row) : null;
  }

  /** The user's password as scrypt's text. */
  password(userId: string): string | null {
    const text = "SELECT password FROM user WHERE id = ?";
    return this.#sql.exec<{ password: string | null }>(text, userId).toArray()[0]?.password ?? null;
  }

  /** Every project that ever was: where servers may be. */
  everyProject(): Named[] {
    const text = "SELECT id, name FROM project UNION ALL SELECT id, name FROM gone_project ORDER BY name";
    return this.#sql.exec<Named>(text).toArray();
  }

  create(kind: Kind, id: string, fields: Fields & { name: string }): Result<Entity, Refusal> {
    if (this.find(kind, { name: fields.name })) return err("conflict");
    const given = present(kind, fields);
    const columns = ["id", ...given.map(([column]) => column)];
    const marks = columns.map(() => "?").join(", ");
    const values = given.map(([, value]) => value);
    this.#sql.exec(`INSERT INTO ${kind} (${columns.join(", ")}) VALUES (${marks})`, id, ...values);
    return this.#shown(kind, id);
  }

  update(kind: Kind, id: string, fields: Fields): Result<Entity, Refusal> {
    const now = this.find(kind, { id });
    if (now === null) return err("not_found");
    const renamed = fields.name !== undefined && fields.name !== now.name;
    const fixed = FIXED[kind].includes(id);
    if (fixed && (fields.enabled === false || fields.password !== undefined)) return err("protected");
    // A project may be called anything; the operator's name and the roles' are what is written elsewhere.
    if (fixed && renamed && kind !== "project") return err("protected");
    if (renamed && this.find(kind, { name: fields.name ?? "" })) return err("conflict");
    for (const [column, value] of present(kind, fields)) {
      this.#sql.exec(`UPDATE ${kind} SET ${column} = ? WHERE id = ?`, value, id);
    }
    return this.#shown(kind, id);
  }

  remove(kind: Kind, id: string): Result<undefined, Refusal> {
    if (this.find(kind, { id }) === null) return err("not_found");
    if (FIXED[kind].includes(id)) return err("protected");
    if (kind === "project") this.#sql.exec("INSERT INTO gone_project SELECT id, name FROM project WHERE id = ?", id);
    this.#sql.exec(`DELETE FROM ${kind} WHERE id = ?`, id);
    this.#sql.exec(`DELETE FROM assignment WHERE ${kind}_id = ?`, id);
    if (kind === "project")
      this.#sql.exec("UPDATE user SET default_project_id = NULL WHERE default_project_id = ?", id);
    return ok();
  }

  #shown(kind: Kind, id: string): Result<Entity, Refusal> {
    const found = this.find(kind, { id });
    return found ? ok(found) : err("not_found");
  }
}

function present(kind: Kind, fields: Fields): [string, string | number | null][] {
  return WRITABLE[kind].flatMap((column): [string, string | number | null][] => {
    const value = fields[column];
    if (value === undefined) return [];
    return [[column, typeof value === "boolean" ? Number(value) : value]];
  });
}

function entity(row: Row): Entity {
  return { ...row, enabled: row.enabled !== 0 };
}
