/** The server groups of a project, and where their members are: the one place that a policy is checked in. */
import { err, ok, type Result } from "../result.ts";

export const MIGRATION = `
  CREATE TABLE server_group (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, policy TEXT NOT NULL,
    max_server_per_host INTEGER, user_id TEXT NOT NULL
  );
  CREATE TABLE group_member (
    server TEXT PRIMARY KEY, group_id TEXT NOT NULL, user_id TEXT NOT NULL, host TEXT
  ) WITHOUT ROWID;
  CREATE INDEX group_member_group ON group_member (group_id);`;

export const POLICIES = ["anti-affinity", "affinity", "soft-anti-affinity", "soft-affinity"] as const;
export type Policy = (typeof POLICIES)[number];

export type ServerGroup = {
  id: string;
  name: string;
  policy: Policy;
  /** Only of anti-affinity; null: 1. */
  max_server_per_host: number | null;
  user_id: string;
  /** Servers that are not deleted. */
  members: string[];
};
export type NewGroup = Omit<ServerGroup, "members">;

/** What placing one member has to keep to: how many of the others are on each host. */
export type GroupPlacement = { policy: Policy; max_server_per_host: number; hosts: Record<string, number> };

/** Whether the policy lets one more member onto `host`. The soft ones always do: they only weigh. */
export function allows({ policy, max_server_per_host, hosts }: GroupPlacement, host: string): boolean {
  if (policy === "anti-affinity") return (hosts[host] ?? 0) < max_server_per_host;
  if (policy === "affinity") return Object.keys(hosts).every((other) => other === host);
  return true;
}

type Row = NewGroup & { seq: number };

export class ServerGroups {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  list(): ServerGroup[] {
    return this.#sql
      .exec<Row>("SELECT * FROM server_group ORDER BY seq")
      .toArray()
      .map((row) => this.#view(row));
  }

  get(id: string): ServerGroup | null {
    const row = this.#sql.exec<Row>("SELECT * FROM server_group WHERE id = ?", id).toArray()[0];
    return row ? this.#view(row) : null;
  }

  /** @param limit how many groups there may be; -1: any number */
  create(group: NewGroup, limit: number): Result<ServerGroup, { kind: "over_quota" }> {
    const { count } = this.#sql.exec<{ count: number }>("SELECT count(*) AS count FROM server_group").one();
    if (limit !== -1 && count >= limit) return err({ kind: "over_quota" });
    this.#sql.exec(
      "INSERT INTO server_group (id, name, policy, max_server_per_host, user_id) VALUES (?, ?, ?, ?, ?)",
      group.id,
      group.name,
      group.policy,
      group.max_server_per_host,
      group.user_id,
    );
    return ok({ ...group, members: [] });
  }

  /** Forgets the group; its members live on. Returns whether it was there. */
  remove(id: string): boolean {
    if (this.get(id) === null) return false;
    this.#sql.exec("DELETE FROM group_member WHERE group_id = ?", id);
    this.#sql.exec("DELETE FROM server_group WHERE id = ?", id);
    return true;
  }

  /** How many members of the group are this user's. */
  membersOf(id: string, user: string): number {
    return this.#sql
      .exec<{ count: number }>(
        "SELECT count(*) AS count FROM group_member WHERE group_id = ? AND user_id = ?",
        id,
        user,
      )
      .one().count;
  }

  join(id: string, server: string, user: string): void {
    this.#sql.exec("INSERT OR REPLACE INTO group_member VALUES (?, ?, ?, NULL)", server, id, user);
  }

  /** Forgets a server that is gone. */
  leave(server: string): void {
    this.#sql.exec("DELETE FROM group_member WHERE server = ?", server);
  }

  /** What placing `server` has to keep to; null when it is in no group. */
  placement(server: string): GroupPlacement | null {
    const member = this.#sql
      .exec<{ group_id: string }>("SELECT group_id FROM group_member WHERE server = ?", server)
      .toArray()[0];
    return member ? this.placementIn(member.group_id, server) : null;
  }

  /** What placing a member, there already or yet to come, has to keep to; null when there is no such group. */
  placementIn(id: string, server: string | null): GroupPlacement | null {
    const group = this.#sql
      .exec<Pick<Row, "policy" | "max_server_per_host">>(
        "SELECT policy, max_server_per_host FROM server_group WHERE id = ?",
        id,
      )
      .toArray()[0];
    if (!group) return null;
    const others = this.#sql.exec<{ host: string; count: number }>(
      `SELECT host, count(*) AS count FROM group_member
       WHERE group_id = ? AND server IS NOT ? AND host IS NOT NULL GROUP BY host`,
      id,
      server,
    );
    const hosts = Object.fromEntries([...others].map(({ host, count }) => [host, count]));
    return { policy: group.policy, max_server_per_host: group.max_server_per_host ?? 1, hosts };
  }

  /** Writes down that a member is on `host`, unless the policy forbids it; null: on none. */
  place(server: string, host: string | null): boolean {
    const placement = this.placement(server);
    if (placement === null) return true;
    if (host !== null && !allows(placement, host)) return false;
    this.#sql.exec("UPDATE group_member SET host = ? WHERE server = ?", host, server);
    return true;
  }

  #view({ seq: _, ...group }: Row): ServerGroup {
    const rows = this.#sql.exec<{ server: string }>(
      "SELECT server FROM group_member WHERE group_id = ? ORDER BY server",
      group.id,
    );
    return { ...group, members: [...rows].map(({ server }) => server) };
  }
}
