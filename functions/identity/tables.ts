/** The Identity object's tables, and the rows that every deployment begins with. */

import { APP_CREDENTIAL_TABLE } from "./app-credentials.ts";
import { LOCK_OUT_TABLE } from "./lock-outs.ts";
import { REVOCATION_TABLE } from "./revocations.ts";

/** The first project and the first user; fixed, so that every deployment's clouds.yaml reads alike. */
export const DEFAULT_PROJECT = { id: "6d0f4ac1b2f94d0f9d5c3c1a7e5b2a10", name: "demo" } as const;
/** The operator. His password is the secret ADMIN_PASSWORD, and no call of the API can shut him out. */
export const ADMIN_USER = { id: "0c7a1d9e54f84f6ab3b8c2f6f2d4e901", name: "admin" } as const;
export const DEFAULT_DOMAIN = { id: "default", name: "Default" } as const;
/** The roles that policy knows; each gives what stands after it (Keystone's bootstrap implies them so). */
export const LADDER = [
  { id: "d7e0b6f1a4c94a7f8f0d6b2e9c8a5b33", name: "admin" },
  { id: "c4b3a0d86f2e4a0c9a55d8a1c3d9e722", name: "manager" },
  { id: "a2c1f2d0c9b74e0a8a4f8a9cbe0f7d11", name: "member" },
  { id: "9fe2ff9ee4384b1894a90878d3e92bab", name: "reader" },
] as const;

/** What other services of the cloud have; it stands beside the others, and none of them brings it. */
export const SERVICE_ROLE = { id: "5b1f7c0e9d2a4c6fb8e3a7d4c5f60912", name: "service" } as const;

export const MIGRATIONS = [
  `CREATE TABLE project (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE) WITHOUT ROWID;
   CREATE TABLE user (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE) WITHOUT ROWID;
   CREATE TABLE role (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE) WITHOUT ROWID;
   CREATE TABLE assignment (
     user_id TEXT NOT NULL, project_id TEXT NOT NULL, role_id TEXT NOT NULL,
     PRIMARY KEY (user_id, project_id, role_id)
   ) WITHOUT ROWID;
   CREATE TABLE join_token (hash TEXT PRIMARY KEY, host TEXT, expires_at INTEGER NOT NULL, used_by TEXT) WITHOUT ROWID;
   CREATE TABLE agent (host TEXT PRIMARY KEY, public_key TEXT NOT NULL, enrolled_at TEXT NOT NULL) WITHOUT ROWID;
   INSERT INTO project VALUES ('${DEFAULT_PROJECT.id}', '${DEFAULT_PROJECT.name}');
   INSERT INTO user VALUES ('${ADMIN_USER.id}', '${ADMIN_USER.name}');
   INSERT INTO role VALUES
     ('9fe2ff9ee4384b1894a90878d3e92bab', 'reader'), ('a2c1f2d0c9b74e0a8a4f8a9cbe0f7d11', 'member'),
     ('c4b3a0d86f2e4a0c9a55d8a1c3d9e722', 'manager'), ('d7e0b6f1a4c94a7f8f0d6b2e9c8a5b33', 'admin');
   INSERT INTO assignment VALUES
     ('${ADMIN_USER.id}', '${DEFAULT_PROJECT.id}', 'd7e0b6f1a4c94a7f8f0d6b2e9c8a5b33'),
     ('${ADMIN_USER.id}', '${DEFAULT_PROJECT.id}', 'a2c1f2d0c9b74e0a8a4f8a9cbe0f7d11'),
     ('${ADMIN_USER.id}', '${DEFAULT_PROJECT.id}', '9fe2ff9ee4384b1894a90878d3e92bab');`,
  // A password is scrypt's text with its parameters (password.ts); null: nobody logs in with one.
  `ALTER TABLE project ADD COLUMN enabled INTEGER NOT NULL DEFAULT 1;
   ALTER TABLE project ADD COLUMN description TEXT NOT NULL DEFAULT '';
   ALTER TABLE role ADD COLUMN description TEXT NOT NULL DEFAULT '';
   ALTER TABLE user ADD COLUMN enabled INTEGER NOT NULL DEFAULT 1;
   ALTER TABLE user ADD COLUMN description TEXT NOT NULL DEFAULT '';
   ALTER TABLE user ADD COLUMN email TEXT;
   ALTER TABLE user ADD COLUMN default_project_id TEXT;
   ALTER TABLE user ADD COLUMN password TEXT;
   CREATE INDEX assignment_of_project ON assignment (project_id);
   CREATE TABLE attempt (who TEXT NOT NULL, address TEXT NOT NULL, at INTEGER NOT NULL);
   CREATE INDEX attempt_of ON attempt (who, address);
   CREATE INDEX attempt_at ON attempt (at);`,
  REVOCATION_TABLE,
  APP_CREDENTIAL_TABLE,
  // A project's servers outlive it, as in Keystone: an admin's list of all projects still asks there.
  "CREATE TABLE gone_project (id TEXT PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID;",
  // An operator may have made one of that name already; then that one is it.
  `INSERT OR IGNORE INTO role (id, name) VALUES ('${SERVICE_ROLE.id}', '${SERVICE_ROLE.name}');`,
  LOCK_OUT_TABLE,
] as const;
