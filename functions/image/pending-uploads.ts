/**
 * What hosts are expected to bring: for each such image the one host that may, what the file is, and the parts of it
 * that R2 has. Kept in the `Images` object.
 */
import type { SnapshotFile } from "../protocol/methods.ts";

export const PENDING_UPLOAD_TABLES = `
  CREATE TABLE pending_upload (
    image TEXT PRIMARY KEY, host TEXT NOT NULL, size INTEGER NOT NULL, sha512 TEXT NOT NULL, disk_format TEXT NOT NULL,
    key TEXT NOT NULL, upload_id TEXT NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE uploaded_part (
    image TEXT NOT NULL, number INTEGER NOT NULL, etag TEXT NOT NULL, PRIMARY KEY (image, number)
  ) WITHOUT ROWID;`;

/** Of `host`, the file of this size (bytes), hash and format. */
export type ExpectedUpload = SnapshotFile & { host: string };
/** `key` and `upload_id` name R2's multipart upload; no other ever has this key. */
export type PendingUpload = ExpectedUpload & { image: string; key: string; upload_id: string };
export type PartStored = { number: number; etag: string };

export class PendingUploads {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  get(image: string): PendingUpload | null {
    return this.#sql.exec<PendingUpload>("SELECT * FROM pending_upload WHERE image = ?", image).toArray()[0] ?? null;
  }

  /** The parts that R2 has, in order. */
  parts(image: string): PartStored[] {
    const sql = "SELECT number, etag FROM uploaded_part WHERE image = ? ORDER BY number";
    return this.#sql.exec<PartStored>(sql, image).toArray();
  }

  /** Begins an upload in place of any other. */
  begin({ image, host, size, sha512, disk_format, key, upload_id }: PendingUpload): void {
    this.drop(image);
    this.#sql.exec(
      "INSERT INTO pending_upload (image, host, size, sha512, disk_format, key, upload_id) VALUES (?, ?, ?, ?, ?, ?, ?)",
      image,
      host,
      size,
      sha512,
      disk_format,
      key,
      upload_id,
    );
  }

  addPart(image: string, { number, etag }: PartStored): void {
    this.#sql.exec("INSERT OR REPLACE INTO uploaded_part VALUES (?, ?, ?)", image, number, etag);
  }

  drop(image: string): void {
    this.#sql.exec("DELETE FROM pending_upload WHERE image = ?", image);
    this.#sql.exec("DELETE FROM uploaded_part WHERE image = ?", image);
  }
}

/** Whether it is the same file from the same host. */
export function sameUpload(a: ExpectedUpload, b: ExpectedUpload): boolean {
  return a.host === b.host && a.size === b.size && a.sha512 === b.sha512 && a.disk_format === b.disk_format;
}
