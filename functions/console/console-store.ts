/** The `Console` object's tables: the links to one server's screen, and the sessions that came by them. */
import type { ConsoleCounts } from "../protocol/methods.ts";
import type { Giver, Link, NewLink, Revoked } from "./link.ts";
import type { Over, SessionRow } from "./session.ts";

export const MIGRATIONS = [
  `CREATE TABLE link (
     id TEXT PRIMARY KEY, hash TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, given TEXT NOT NULL,
     created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, used INTEGER NOT NULL DEFAULT 0,
     revoked_at INTEGER, revoked_why TEXT, pin_failures INTEGER NOT NULL DEFAULT 0
   ) WITHOUT ROWID;
   CREATE TABLE session (
     id TEXT PRIMARY KEY, link TEXT NOT NULL, given TEXT NOT NULL, host TEXT NOT NULL, bound TEXT NOT NULL,
     carried INTEGER NOT NULL DEFAULT 0, started_at INTEGER NOT NULL, leg INTEGER NOT NULL DEFAULT 0, joined_at INTEGER,
     leg_seen INTEGER NOT NULL DEFAULT 0, left_at INTEGER, code INTEGER, over_at INTEGER, over_why TEXT,
     bytes_up INTEGER NOT NULL DEFAULT 0, bytes_down INTEGER NOT NULL DEFAULT 0, keys INTEGER NOT NULL DEFAULT 0,
     pointers INTEGER NOT NULL DEFAULT 0, cut_texts INTEGER NOT NULL DEFAULT 0, untold INTEGER NOT NULL DEFAULT 1
   ) WITHOUT ROWID;
   CREATE INDEX session_link ON session (link);
   CREATE INDEX session_live ON session (leg) WHERE over_at IS NULL AND leg > leg_seen;
   CREATE INDEX session_untold ON session (id) WHERE untold;`,
] as const;

type LinkRow = Pick<
  Link,
  "id" | "hash" | "kind" | "created_at" | "expires_at" | "used" | "revoked_at" | "revoked_why" | "pin_failures"
> & { given: string };
/** What of a session never changes, as JSON. */
type Given = Pick<SessionRow, "label" | "user_id" | "address" | "attempt" | "page">;
type StoredSession = Omit<SessionRow, "bound" | "carried" | keyof Given> & {
  given: string;
  bound: string;
  carried: number;
};

/** Which links are meant, by who gave them. */
export type Whose = { [K in keyof Giver]?: Giver[K] };

/** A session that nobody has connected to for this long never will be: its ticket has expired. */
const PENDING_MS = 60_000;
const OPEN = "over_at IS NULL AND leg > leg_seen";

export class ConsoleStore {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  addLink({ id, hash, kind, created_at, expires_at, ...given }: NewLink): void {
    this.#sql.exec(
      "INSERT INTO link (id, hash, kind, given, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)",
      id,
      hash,
      kind,
      JSON.stringify(given),
      created_at,
      expires_at,
    );
  }

  /** Newest first. */
  links(): Link[] {
    return this.#links("1 ORDER BY created_at DESC, id");
  }

  link(id: string): Link | null {
    return this.#links("id = ?", id)[0] ?? null;
  }

  linkOf(hash: string): Link | null {
    return this.#links("hash = ?", hash)[0] ?? null;
  }

  use(id: string): void {
    this.#sql.exec("UPDATE link SET used = used + 1, pin_failures = 0 WHERE id = ?", id);
  }

  /** Counts an attempt before its PIN is looked at, so that many at once count as many; how many there were. */
  tryPin(id: string): number {
    const text = "UPDATE link SET pin_failures = pin_failures + 1 WHERE id = ? RETURNING pin_failures";
    return this.#sql.exec<{ pin_failures: number }>(text, id).one().pin_failures;
  }

  revoke(id: string, why: Revoked, now: number): void {
    this.#sql.exec("UPDATE link SET revoked_at = ?, revoked_why = ? WHERE id = ? AND revoked_at IS NULL", now, why, id);
  }

  /** Forgets a link whose sessions are all forgotten, and that is long expired. */
  purgeLinks(expiredBefore: number): void {
    this.#sql.exec(
      "DELETE FROM link WHERE expires_at < ? AND NOT EXISTS (SELECT 1 FROM session WHERE session.link = link.id)",
      expiredBefore,
    );
  }

  addSession(row: Pick<SessionRow, "id" | "link" | "host" | "bound" | "started_at"> & Given): void {
    const { id, link, host, bound, started_at, ...given } = row;
    this.#sql.exec(
      "INSERT INTO session (id, link, given, host, bound, started_at) VALUES (?, ?, ?, ?, ?, ?)",
      id,
      link,
      JSON.stringify(given),
      host,
      JSON.stringify(bound),
      started_at,
    );
  }

  session(id: string): SessionRow | null {
    return this.#sessions("id = ?", id)[0] ?? null;
  }

  /** Newest first. */
  sessions(): SessionRow[] {
    return this.#sessions("1 ORDER BY started_at DESC, id");
  }

  sessionsOf(link: string): SessionRow[] {
    return this.#sessions("link = ? ORDER BY started_at DESC, id", link);
  }

  /** The session of this attempt, as long as nobody has connected. */
  begun(link: string, attempt: string | null): SessionRow | null {
    if (attempt === null) return null;
    return (
      this.sessionsOf(link).find((row) => row.attempt === attempt && row.leg === 0 && row.over_at === null) ?? null
    );
  }

  /** Those that somebody is on. */
  open(): SessionRow[] {
    return this.#sessions(OPEN);
  }

  /** Those that count against what a server, or a link, may have open: who is coming does too. */
  present(now: number): SessionRow[] {
    return this.#sessions(`${OPEN} OR (leg = 0 AND over_at IS NULL AND started_at > ?)`, now - PENDING_MS);
  }

  /** How many are present, and how many of them by this link. */
  places(link: string, now: number): { all: number; of_link: number } {
    const text = `SELECT count(*) AS "all", count(CASE WHEN link = ? THEN 1 END) AS of_link FROM session
      WHERE ${OPEN} OR (leg = 0 AND over_at IS NULL AND started_at > ?)`;
    return this.#sql.exec<{ all: number; of_link: number }>(text, link, now - PENDING_MS).one();
  }

  /** Those that are not over for good. */
  alive(): SessionRow[] {
    return this.#sessions("over_at IS NULL");
  }

  /** The session's next connection is let in, on the screen as it is now. */
  joined(id: string, leg: number, { host, bound }: Pick<SessionRow, "host" | "bound">, now: number): void {
    this.#sql.exec(
      `UPDATE session SET leg = ?, joined_at = ?, host = ?, bound = ?, carried = 0, untold = 1 WHERE id = ?`,
      leg,
      now,
      host,
      JSON.stringify(bound),
      id,
    );
  }

  /** A connection has ended; what is told again, or late, changes nothing. */
  left(id: string, leg: number, code: number, counts: ConsoleCounts, at: number): void {
    this.#sql.exec(
      `UPDATE session SET leg_seen = ?2, untold = 1,
         left_at = CASE WHEN leg = ?2 AND over_at IS NULL THEN ?3 ELSE left_at END,
         code = CASE WHEN leg = ?2 AND over_at IS NULL THEN ?4 ELSE code END,
         bytes_up = bytes_up + ?5, bytes_down = bytes_down + ?6, keys = keys + ?7, pointers = pointers + ?8,
         cut_texts = cut_texts + ?9
       WHERE id = ?1 AND leg_seen < ?2 AND leg >= ?2`,
      id,
      leg,
      at,
      code,
      counts.bytes_up,
      counts.bytes_down,
      counts.keys,
      counts.pointers,
      counts.cut_texts,
    );
  }

  carry(id: string): void {
    this.#sql.exec("UPDATE session SET carried = 1 WHERE id = ?", id);
  }

  /** The session is over for good; somebody who is on it leaves with `code`. */
  over(id: string, why: Over, code: number, now: number): void {
    this.#sql.exec(
      `UPDATE session SET over_at = ?2, over_why = ?3, untold = 1,
         left_at = CASE WHEN leg > leg_seen THEN ?2 ELSE left_at END, code = CASE WHEN leg > leg_seen THEN ?4 ELSE code END
       WHERE id = ?1 AND over_at IS NULL`,
      id,
      now,
      why,
      code,
    );
  }

  untold(): SessionRow[] {
    return this.#sessions("untold LIMIT 100");
  }

  /** Their record is elsewhere as it was when they were read. */
  told(rows: readonly SessionRow[]): void {
    for (const { id, leg, leg_seen, over_at } of rows) {
      const text = "UPDATE session SET untold = 0 WHERE id = ? AND leg = ? AND leg_seen = ? AND over_at IS ?";
      this.#sql.exec(text, id, leg, leg_seen, over_at);
    }
  }

  /** Forgets those that nobody is on and that ended before. */
  purgeSessions(endedBefore: number): void {
    this.#sql.exec(
      "DELETE FROM session WHERE (over_at IS NOT NULL OR leg <= leg_seen) AND NOT untold AND coalesce(left_at, started_at) < ?",
      endedBefore,
    );
  }

  /**
   * When the first of what is here comes to its end after `now`, ms since the epoch: the right of who is on the screen,
   * what is remembered of a link `linkMs` after it expired, and of a session `sessionMs` after its end. Null: none.
   */
  nextEnd(now: number, linkMs: number, sessionMs: number): number | null {
    const text = `SELECT min(at) AS at FROM (
        SELECT expires_at AS at FROM link WHERE given ->> '$.terms.ends_sessions'
          AND EXISTS (SELECT 1 FROM session WHERE session.link = link.id AND over_at IS NULL)
        UNION ALL SELECT expires_at + ?2 FROM link
        UNION ALL SELECT coalesce(left_at, started_at) + ?3 FROM session
      ) WHERE at > ?1`;
    return this.#sql.exec<{ at: number | null }>(text, now, linkMs, sessionMs).one().at;
  }

  hasOpen(): boolean {
    return this.#has(`session WHERE ${OPEN}`);
  }

  hasUntold(): boolean {
    return this.#has("session WHERE untold");
  }

  isEmpty(): boolean {
    return !this.#has("link") && !this.#has("session");
  }

  #has(what: string): boolean {
    return this.#sql.exec(`SELECT 1 FROM ${what} LIMIT 1`).toArray().length > 0;
  }

  #links(where: string, ...values: string[]): Link[] {
    return this.#sql
      .exec<LinkRow>(`SELECT * FROM link WHERE ${where}`, ...values)
      .toArray()
      .map(({ given, ...row }) => ({ ...JSON.parse(given), ...row }));
  }

  #sessions(where: string, ...values: (string | number)[]): SessionRow[] {
    return this.#sql
      .exec<StoredSession>(`SELECT * FROM session WHERE ${where}`, ...values)
      .toArray()
      .map(({ given, bound, carried, ...row }) => ({
        ...JSON.parse(given),
        ...row,
        bound: JSON.parse(bound),
        carried: carried !== 0,
      }));
  }
}
