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

/** How an event came out, and where. */
export type EventEnd = Pick<InstanceEvent, "host" | "details"> & { failed: boolean };

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

  startEvent(requestId: string, event: string, host: string | null): void {
    this.#sql.exec(
      "INSERT INTO event (request_id, event, host, start_time) VALUES (?, ?, ?, ?)",
      requestId,
      event,
      host,
      new Date().toISOString(),
    );
  }

  /** Ends the request's open event and begins another, of the same name unless told. Nothing if none is open. */
  nextEvent(requestId: string, next: { event?: string; host: string | null }, ended: EventEnd): void {
    const open = this.#open(requestId);
    if (open === null) return;
    this.#finishEvent(requestId, ended);
    this.startEvent(requestId, next.event ?? open, next.host);
  }

  /** Ends the request's open event, and with it the action. */
  finish(requestId: string, ended: EventEnd): void {
    this.#finishEvent(requestId, ended);
    this.#sql.exec(
      "UPDATE action SET updated_at = ?, message = ? WHERE request_id = ?",
      new Date().toISOString(),
      ended.failed ? "Error" : null,
      requestId,
    );
  }

  #open(requestId: string): string | null {
    const rows = this.#sql.exec<{ event: string }>(
      "SELECT event FROM event WHERE request_id = ? AND finish_time IS NULL",
      requestId,
    );
    return rows.toArray()[0]?.event ?? null;
  }

  /** A host that was known when it began stays. */
  #finishEvent(requestId: string, { failed, host, details }: EventEnd): void {
    this.#sql.exec(
      `UPDATE event SET finish_time = ?, result = ?, host = coalesce(host, ?), details = ?
       WHERE request_id = ? AND finish_time IS NULL`,
      new Date().toISOString(),
      failed ? "Error" : "Success",
      host,
      details,
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
