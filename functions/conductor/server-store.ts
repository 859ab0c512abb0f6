/** The tables of a `Server` object. */
import { ACTION_TABLES, DETAILS_COLUMN } from "./action-log.ts";
import type { Memo } from "./context.ts";
import { DECISION_TABLE } from "./decisions.ts";
import { GIVEN_TABLES } from "./given.ts";
import { type ServerRecord, WITH_ALL_STATES, WITH_CONFIG_DRIVE } from "./record.ts";
import type { SagaRow } from "./saga.ts";

export const MIGRATIONS = [
  `CREATE TABLE instance (id INTEGER PRIMARY KEY CHECK (id = 1), record TEXT NOT NULL);
   CREATE TABLE saga (
     id TEXT NOT NULL, flow TEXT NOT NULL, phase TEXT NOT NULL, next INTEGER NOT NULL, memo TEXT NOT NULL,
     failure TEXT, started_at INTEGER NOT NULL, attempts INTEGER NOT NULL,
     slot INTEGER PRIMARY KEY CHECK (slot = 1)
   );
   CREATE TABLE console_token (hash TEXT PRIMARY KEY, expires_at INTEGER NOT NULL) WITHOUT ROWID;`,
  `ALTER TABLE saga ADD COLUMN request_id TEXT;
   ${ACTION_TABLES}`,
  `${GIVEN_TABLES}
   UPDATE instance SET record = ${WITH_CONFIG_DRIVE};`,
  DETAILS_COLUMN,
  `UPDATE instance SET record = ${WITH_ALL_STATES};`,
  "DROP TABLE console_token;",
  DECISION_TABLE,
] as const;

/** What MIGRATIONS make of an empty database: every boot makes one, so it is made at once. */
export const SCHEMA = `
  CREATE TABLE instance (id INTEGER PRIMARY KEY CHECK (id = 1), record TEXT NOT NULL);
  CREATE TABLE saga (
    id TEXT NOT NULL, flow TEXT NOT NULL, phase TEXT NOT NULL, next INTEGER NOT NULL, memo TEXT NOT NULL,
    failure TEXT, started_at INTEGER NOT NULL, attempts INTEGER NOT NULL,
    slot INTEGER PRIMARY KEY CHECK (slot = 1), request_id TEXT
  );
  CREATE TABLE action (
    seq INTEGER PRIMARY KEY, request_id TEXT NOT NULL UNIQUE, action TEXT NOT NULL, user_id TEXT NOT NULL,
    project_id TEXT NOT NULL, start_time TEXT NOT NULL, updated_at TEXT, message TEXT
  );
  CREATE TABLE event (
    seq INTEGER PRIMARY KEY, request_id TEXT NOT NULL, event TEXT NOT NULL, host TEXT,
    start_time TEXT NOT NULL, finish_time TEXT, result TEXT, details TEXT
  );
  CREATE INDEX event_request ON event (request_id);
  ${GIVEN_TABLES}
  ${DECISION_TABLE}`;

type SagaColumns = {
  id: string;
  request_id: string | null;
  flow: string;
  phase: SagaRow<Memo>["phase"];
  next: number;
  memo: string;
  failure: string | null;
  started_at: number;
  attempts: number;
};

export class ServerStore {
  readonly #sql: SqlStorage;
  /** As they are in their tables; undefined before they were first read. */
  #record: ServerRecord | null | undefined;
  #saga: SagaRow<Memo> | null | undefined;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  record(): ServerRecord | null {
    if (this.#record === undefined) {
      const row = this.#sql.exec<{ record: string }>("SELECT record FROM instance").toArray()[0];
      this.#record = row ? (JSON.parse(row.record) as ServerRecord) : null;
    }
    return this.#record;
  }

  saveRecord(record: ServerRecord): void {
    this.#sql.exec("INSERT OR REPLACE INTO instance (id, record) VALUES (1, ?)", JSON.stringify(record));
    this.#record = record;
  }

  saga(): SagaRow<Memo> | null {
    if (this.#saga === undefined) {
      const row = this.#sql.exec<SagaColumns>("SELECT * FROM saga").toArray()[0];
      this.#saga = row ? sagaOf(row) : null;
    }
    return this.#saga;
  }

  saveSaga(row: SagaRow<Memo>): void {
    this.#sql.exec(
      `INSERT OR REPLACE INTO saga (slot, id, request_id, flow, phase, next, memo, failure, started_at, attempts)
       VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      row.id,
      row.request_id,
      row.flow,
      row.phase,
      row.next,
      JSON.stringify(row.memo),
      row.failure === null ? null : JSON.stringify(row.failure),
      row.started_at,
      row.attempts,
    );
    this.#saga = row;
  }

  clearSaga(): void {
    this.#sql.exec("DELETE FROM saga");
    this.#saga = null;
  }
}

function sagaOf({
  id,
  request_id,
  flow,
  phase,
  next,
  memo,
  failure,
  started_at,
  attempts,
}: SagaColumns): SagaRow<Memo> {
  const why = failure === null ? null : JSON.parse(failure);
  return { id, request_id, flow, phase, next, memo: JSON.parse(memo), failure: why, started_at, attempts };
}
