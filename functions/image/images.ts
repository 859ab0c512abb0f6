/** The image records of the deployment (what clients need of Glance); the bytes are in R2. */
import { DurableObject } from "cloudflare:workers";
import { migrate } from "../store/migrate.ts";

const MIGRATIONS = [
  "CREATE TABLE image (id TEXT PRIMARY KEY, created_at TEXT NOT NULL, record TEXT NOT NULL) WITHOUT ROWID;",
] as const;

/** glance: Image. `size` in bytes, `min_ram` in MiB, `min_disk` in GiB; size and hashes are null until it is uploaded. */
export type Image = {
  id: string;
  name: string | null;
  status: "queued" | "active";
  visibility: "public" | "private";
  owner: string;
  container_format: string | null;
  disk_format: string | null;
  min_ram: number;
  min_disk: number;
  size: number | null;
  checksum: string | null;
  /** sha512, in hex. */
  os_hash_value: string | null;
  /** The key of its bytes in R2. */
  bytes: string | null;
  created_at: string;
  updated_at: string;
};
export type Uploaded = { size: number; checksum: string; os_hash_value: string; bytes: string };

export class Images extends DurableObject<Env> {
  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    migrate(ctx.storage, MIGRATIONS);
  }

  /** Every image, newest first. */
  list(): Image[] {
    const rows = this.ctx.storage.sql.exec<{ record: string }>("SELECT record FROM image ORDER BY created_at DESC, id");
    return [...rows].map((row) => JSON.parse(row.record));
  }

  get(id: string): Image | null {
    const row = this.ctx.storage.sql.exec<{ record: string }>("SELECT record FROM image WHERE id = ?", id).toArray()[0];
    return row ? JSON.parse(row.record) : null;
  }

  /** Adds a record; false when the id is taken. */
  add(image: Image): boolean {
    if (this.get(image.id) !== null) return false;
    this.#save(image);
    return true;
  }

  /** Makes a queued image active; false when it is not queued any more: the first upload to end wins. */
  activate(id: string, uploaded: Uploaded): boolean {
    const image = this.get(id);
    if (image?.status !== "queued") return false;
    this.#save({ ...image, ...uploaded, status: "active", updated_at: new Date().toISOString() });
    return true;
  }

  remove(id: string): void {
    this.ctx.storage.sql.exec("DELETE FROM image WHERE id = ?", id);
  }

  #save(image: Image): void {
    const text = JSON.stringify(image);
    this.ctx.storage.sql.exec("INSERT OR REPLACE INTO image VALUES (?, ?, ?)", image.id, image.created_at, text);
  }
}
