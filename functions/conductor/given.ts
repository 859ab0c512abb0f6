/**
 * What a request gives a server for its guest beside its record: too big, or too secret, for the index and for lists.
 * It stays in the `Server` object's own tables.
 */
import type { InjectedFile, PublicKey } from "../protocol/methods.ts";

/** Kept as long as the server is, for every guest that is made of it (nova: instances.user_data, instance_extra.keypairs). */
export type Given = {
  /** base64. */
  user_data: string | null;
  /** As it was when the server was made: who deletes or changes the key pair later changes no guest. */
  keypair: PublicKey | null;
};
export const NOTHING_GIVEN: Given = { user_data: null, keypair: null };

/** Kept until the saga that they are for has ended. */
export type Secrets = { admin_pass: string; files: InjectedFile[] };

export const GIVEN_TABLES = `
  CREATE TABLE given (id INTEGER PRIMARY KEY CHECK (id = 1), given TEXT NOT NULL);
  CREATE TABLE secrets (id INTEGER PRIMARY KEY CHECK (id = 1), secrets TEXT NOT NULL);`;

export class GivenStore {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  given(): Given {
    const row = this.#sql.exec<{ given: string }>("SELECT given FROM given").toArray()[0];
    return row ? JSON.parse(row.given) : NOTHING_GIVEN;
  }

  saveGiven(given: Given): void {
    this.#sql.exec("INSERT OR REPLACE INTO given VALUES (1, ?)", JSON.stringify(given));
  }

  forgetGiven(): void {
    this.#sql.exec("DELETE FROM given");
  }

  secrets(): Secrets | null {
    const row = this.#sql.exec<{ secrets: string }>("SELECT secrets FROM secrets").toArray()[0];
    return row ? JSON.parse(row.secrets) : null;
  }

  saveSecrets(secrets: Secrets): void {
    this.#sql.exec("INSERT OR REPLACE INTO secrets VALUES (1, ?)", JSON.stringify(secrets));
  }

  forgetSecrets(): void {
    this.#sql.exec("DELETE FROM secrets");
  }
}
