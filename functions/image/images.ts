/** The image records of the deployment (what clients need of Glance); the bytes are in R2. */
import { DurableObject } from "cloudflare:workers";
import { err, ok, type Result } from "../result.ts";
import { migrate } from "../store/migrate.ts";
import { type Image, type ImagePatch, type PatchError, patched } from "./image.ts";

const MIGRATIONS = [
  "CREATE TABLE image (id TEXT PRIMARY KEY, created_at TEXT NOT NULL, record TEXT NOT NULL) WITHOUT ROWID;",
  // Records of the first schema had neither of these.
  `UPDATE image SET record = json_patch(
     '{"protected":false,"os_hidden":false,"tags":[],"properties":{}}', record);`,
] as const;

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

  /** Applies all of a patch, or none of it. */
  patch(id: string, patch: ImagePatch): Result<Image, PatchError | { kind: "not_found" }> {
    const image = this.get(id);
    if (image === null) return err({ kind: "not_found" });
    const changed = patched(image, patch);
    if (changed.ok) this.#save(changed.value);
    return changed;
  }

  /** Removes a record and returns it; refuses one that is protected. */
  remove(id: string): Result<Image, "not_found" | "protected"> {
    const image = this.get(id);
    if (image === null) return err("not_found");
    if (image.protected) return err("protected");
    this.ctx.storage.sql.exec("DELETE FROM image WHERE id = ?", id);
    return ok(image);
  }

  #save(image: Image): void {
    const text = JSON.stringify(image);
    this.ctx.storage.sql.exec("INSERT OR REPLACE INTO image VALUES (?, ?, ?)", image.id, image.created_at, text);
  }
}
