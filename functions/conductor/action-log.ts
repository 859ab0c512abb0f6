/** What was asked of a server, by whom, and what came of it (nova: InstanceAction, InstanceActionEvent). */

export const ACTION_TABLES = `
  CREATE TABLE action (
    seq INTEGER PRIMARY KEY, request_id TEXT NOT NULL UNIQUE, action TEXT NOT NULL, user_id TEXT NOT NULL,
    project_id TEXT NOT NULL, start_time TEXT NOT NULL, updated_at TEXT, message TEXT
  );
  CREATE TABLE event (
    seq INTEGER PRIMARY KEY, request_id TEXT NOT NULL, event TEXT NOT NULL, host TEXT,
    start_time TEXT NOT NULL, finish_time TEXT, result TEXT
  );
  CREATE INDEX event_request ON event (request_id);`;

export const DETAILS_COLUMN = "ALTER TABLE event ADD COLUMN details TEXT;";

/** Times are ISO 8601 in UTC with milliseconds. `message` is null, or "Error". */
export type InstanceAction = {
  request_id: string;
  action: string;
  user_id: string;
  project_id: string;
  start_time: string;
  updated_at: string | null;
  message: string | null;
};
export type InstanceEvent = {
  event: string;
  host: string | null;
  start_time: string;
  finish_time: string | null;
  result: "Success" | "Error" | null;
  /** For operators: why it failed, or how a host was chosen for it. */
  details: string | null;
};

export class ActionLog {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  start(action: Pick<InstanceAction, "request_id" | "action" | "user_id" | "project_id">): void {
    this.#sql.exec(
      "INSERT OR IGNORE INTO action (request_id, action, user_id, project_id, start_time) VALUES (?, ?, ?, ?, ?)",
      action.request_id,
      action.action,
      action.user_id,
      action.project_id,
      new Date().toISOString(),
    );
  }

  startEvent(requestId: string, event: string): void {
    this.#sql.exec(
      "INSERT INTO event (request_id, event, start_time) VALUES (?, ?, ?)",
      requestId,
      event,
      new Date().toISOString(),
    );
  }

  /**
   * Ends the request's open event, and with it the action. `failure` tells why, if it failed; `details`, more than that
   * or what is to be told of a success.
   */
  finishEvent(requestId: string, host: string | null, failure: string | null, details = failure): void {
    const result = failure === null ? "Success" : "Error";
    const now = new Date().toISOString();
    this.#sql.exec(
      `UPDATE event SET finish_time = ?, result = ?, host = ?, details = ?
       WHERE request_id = ? AND finish_time IS NULL`,
      now,
      result,
      host,
      details,
      requestId,
    );
    this.#sql.exec(
      "UPDATE action SET updated_at = ?, message = ? WHERE request_id = ?",
      now,
      failure === null ? null : "Error",
      requestId,
    );
  }

  /** Newest first. */
  list(): InstanceAction[] {
    return this.#sql
      .exec<InstanceAction>(
        `SELECT request_id, action, user_id, project_id, start_time, updated_at, message
         FROM action ORDER BY seq DESC`,
      )
      .toArray();
  }

  events(requestId: string): InstanceEvent[] {
    return this.#sql
      .exec<InstanceEvent>(
        "SELECT event, host, start_time, finish_time, result, details FROM event WHERE request_id = ? ORDER BY seq",
        requestId,
      )
      .toArray();
  }
}
