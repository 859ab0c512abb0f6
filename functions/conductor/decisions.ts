/** How the scheduler chose for this server, each time that it was asked: for operators. */
import type { Decision } from "../scheduler/decision.ts";

export const DECISION_TABLE = `CREATE TABLE decision (
  seq INTEGER PRIMARY KEY, request_id TEXT, decision TEXT NOT NULL
);`;

/** Older ones are forgotten. */
const KEPT = 20;

/** `request_id`: whose action it was for; null for what the system does by itself. */
export type KeptDecision = Decision & { request_id: string | null };
type Row = { request_id: string | null; decision: string };

export class Decisions {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  add(request_id: string | null, decision: Decision): void {
    this.#sql.exec("INSERT INTO decision (request_id, decision) VALUES (?, ?)", request_id, JSON.stringify(decision));
    this.#sql.exec("DELETE FROM decision WHERE seq <= (SELECT max(seq) FROM decision) - ?", KEPT);
  }

  /** Newest first. */
  list(): KeptDecision[] {
    const rows = this.#sql.exec<Row>("SELECT request_id, decision FROM decision ORDER BY seq DESC").toArray();
    return rows.map(({ request_id, decision }) => ({ request_id, ...JSON.parse(decision) }));
  }

  /** The last one of a request; null when nothing was chosen for it. */
  of(request_id: string): KeptDecision | null {
    return this.list().find((one) => one.request_id === request_id) ?? null;
  }
}
