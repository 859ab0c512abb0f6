/** Who has which role on which project. */
import { err, ok, type Result } from "../result.ts";
import type { Named } from "./directory.ts";
import { withImplied } from "./roles.ts";
import { ADMIN_USER, DEFAULT_PROJECT, LADDER } from "./tables.ts";

export type Assignment = { user_id: string; project_id: string; role_id: string };
export type AssignmentNames = Assignment & { user: string; project: string; role: string };

export class Assignments {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  list(filter: Partial<Assignment>): AssignmentNames[] {
    const given = (["user_id", "project_id", "role_id"] as const).flatMap((column) => {
      const value = filter[column];
      return value === undefined ? [] : [{ column, value }];
    });
    const where = ["1", ...given.map(({ column }) => `${column} = ?`)].join(" AND ");
    return this.#sql
      .exec<AssignmentNames>(
        `SELECT user_id, project_id, role_id, user.name AS user, project.name AS project, role.name AS role
         FROM assignment JOIN user ON user.id = user_id JOIN project ON project.id = project_id
         JOIN role ON role.id = role_id WHERE ${where} ORDER BY user.name, project.name, role.name`,
        ...given.map(({ value }) => value),
      )
      .toArray();
  }

  /** The roles that count: those assigned, and those that they imply. */
  effective(userId: string, projectId: string): Named[] {
    return this.implied(this.list({ user_id: userId, project_id: projectId }).map(({ role }) => role));
  }

  /** The roles of these names, and those that they imply. */
  implied(assigned: readonly string[]): Named[] {
    const names = JSON.stringify(withImplied(assigned));
    const text = "SELECT id, name FROM role WHERE name IN (SELECT value FROM json_each(?)) ORDER BY name";
    return this.#sql.exec<Named>(text, names).toArray();
  }

  /** Assignments to one user by names; a name that there is none of gives nothing. */
  named(userId: string, roles: readonly { project: string; role: string }[]): Assignment[] {
    return this.#sql
      .exec<Assignment>(
        `SELECT DISTINCT ?1 AS user_id, project.id AS project_id, role.id AS role_id FROM json_each(?2) AS asked
         JOIN project ON project.name = asked.value ->> 'project' JOIN role ON role.name = asked.value ->> 'role'`,
        userId,
        JSON.stringify(roles),
      )
      .toArray();
  }

  add({ user_id, project_id, role_id }: Assignment): void {
    this.#sql.exec("INSERT OR IGNORE INTO assignment VALUES (?, ?, ?)", user_id, project_id, role_id);
  }

  remove(one: Assignment): Result<undefined, "not_found" | "protected"> {
    const { user_id, project_id, role_id } = one;
    if (this.list(one).length === 0) return err("not_found");
    const operator = user_id === ADMIN_USER.id && project_id === DEFAULT_PROJECT.id;
    if (operator && role_id === LADDER[0].id) return err("protected");
    const text = "DELETE FROM assignment WHERE user_id = ? AND project_id = ? AND role_id = ?";
    this.#sql.exec(text, user_id, project_id, role_id);
    return ok();
  }
}
