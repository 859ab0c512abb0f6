/**
 * What has been taken back, as the Identity object keeps it: a subject and a time; tokens of that subject that were
 * issued up to then are void. Each entry is forgotten when no token that it voids can still be alive.
 */
import type { TokenClaims } from "./token.ts";

/** `seq` rises with every entry, so that who has read up to one asks only for what came after. */
export type Revocation = { seq: number; subject: string; before: number; until: number };

export const REVOCATION_TABLE = `CREATE TABLE revocation (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, subject TEXT NOT NULL UNIQUE, before INTEGER NOT NULL, until INTEGER NOT NULL
);`;

export const subjectOf = {
  token: (jti: string) => `token:${jti}`,
  user: (id: string) => `user:${id}`,
  project: (id: string) => `project:${id}`,
  appCredential: (id: string) => `app_credential:${id}`,
  /** A user's tokens on one project: a role of his was taken away there. */
  member: (userId: string, projectId: string) => `member:${userId}:${projectId}`,
};

/** Every subject whose revocation would void this token. */
export function subjectsOf(said: TokenClaims): string[] {
  const subjects = [subjectOf.token(said.jti), subjectOf.user(said.user.id)];
  if (said.project) {
    subjects.push(subjectOf.project(said.project.id), subjectOf.member(said.user.id, said.project.id));
  }
  if (said.app_credential) subjects.push(subjectOf.appCredential(said.app_credential.id));
  return subjects;
}

/** When the token was issued, milliseconds since the epoch. */
export function issuedMs(said: TokenClaims): number {
  return Math.round(said.iat * 1000);
}

export class Revocations {
  readonly #sql: SqlStorage;
  #last = 0;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** Milliseconds since the epoch, never twice the same: tokens and revocations have an order. */
  stamp(): number {
    this.#last = Math.max(this.#last + 1, Date.now());
    return this.#last;
  }

  /** Voids what was issued to `subject` up to now. `lifeMs`: the longest that a token of it may still live. */
  add(subject: string, lifeMs: number): void {
    const before = this.stamp();
    this.#sql.exec("DELETE FROM revocation WHERE until <= ?", before);
    this.#sql.exec(
      "INSERT OR REPLACE INTO revocation (subject, before, until) VALUES (?, ?, ?)",
      subject,
      before,
      before + lifeMs,
    );
  }

  since(seq: number): Revocation[] {
    const text = "SELECT seq, subject, before, until FROM revocation WHERE seq > ? AND until > ? ORDER BY seq";
    return this.#sql.exec<Revocation>(text, seq, Date.now()).toArray();
  }

  revoked(said: TokenClaims): boolean {
    const text = "SELECT 1 FROM revocation WHERE before >= ? AND subject IN (SELECT value FROM json_each(?)) LIMIT 1";
    return this.#sql.exec(text, issuedMs(said), JSON.stringify(subjectsOf(said))).toArray().length > 0;
  }
}
