/**
 * The image records of the deployment (what clients need of Glance); the bytes are in R2. A record goes last: what
 * breaks off in the middle of a removal is removed when it is asked for again, and nothing is left in R2.
 */
import { DurableObject } from "cloudflare:workers";
import { causeOf, log } from "../log.ts";
import { MAX_PARTS, PART_BYTES } from "../protocol/upload.ts";
import { err, ok, type Result } from "../result.ts";
import { migrate } from "../store/migrate.ts";
import { type Image, type ImagePatch, type PatchError, patched } from "./image.ts";
import {
  type ExpectedUpload,
  type PartStored,
  PENDING_UPLOAD_TABLES,
  type PendingUpload,
  PendingUploads,
  sameUpload,
} from "./pending-uploads.ts";

const MIGRATIONS = [
  "CREATE TABLE image (id TEXT PRIMARY KEY, created_at TEXT NOT NULL, record TEXT NOT NULL) WITHOUT ROWID;",
  // Records of the first schema had neither of these.
  `UPDATE image SET record = json_patch(
     '{"protected":false,"os_hidden":false,"tags":[],"properties":{}}', record);`,
  PENDING_UPLOAD_TABLES,
] as const;

export type Uploaded = { size: number; checksum: string; os_hash_value: string; bytes: string } & Partial<
  Pick<Image, "disk_format">
>;

export class Images extends DurableObject<Env> {
  readonly #uploads: PendingUploads;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    migrate(ctx.storage, MIGRATIONS);
    this.#uploads = new PendingUploads(ctx.storage.sql);
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
    const pending = this.#uploads.get(id);
    this.#uploads.drop(id);
    // Its owner was faster than the host.
    if (pending && pending.key !== uploaded.bytes) this.ctx.waitUntil(this.#discard(pending));
    return true;
  }

  /** Takes an image from use, or gives it back; one that waits for its bytes stays queued. */
  setStatus(id: string, status: "active" | "deactivated"): Result<undefined, "not_found" | "queued"> {
    const image = this.get(id);
    if (image === null) return err("not_found");
    if (image.status === "queued") return err("queued");
    if (image.status !== status) this.#save({ ...image, status, updated_at: new Date().toISOString() });
    return ok();
  }

  /** From now on `expected.host` may bring the bytes of this queued image; what another was to bring is dropped. */
  async expectUpload(id: string, expected: ExpectedUpload): Promise<"expected" | "active" | "gone" | "too_large"> {
    if (expected.size > PART_BYTES * MAX_PARTS) return "too_large";
    const ready = () => {
      const image = this.get(id);
      if (image === null) return "gone";
      if (image.status !== "queued") return "active";
      const before = this.#uploads.get(id);
      return before && sameUpload(before, expected) ? "expected" : null;
    };
    const now = ready();
    if (now !== null) return now;
    const key = `images/${id}/${crypto.randomUUID()}`;
    const multipart = await this.env.IMAGE_BYTES.createMultipartUpload(key);
    const meanwhile = ready();
    if (meanwhile !== null) {
      await multipart.abort();
      return meanwhile;
    }
    const before = this.#uploads.get(id);
    this.#uploads.begin({ ...expected, image: id, key, upload_id: multipart.uploadId });
    if (before) await this.#discard(before);
    return "expected";
  }

  /** The upload that is expected of this image, with the parts that are there; null when none is. */
  pendingUpload(id: string): { upload: PendingUpload; parts: PartStored[] } | null {
    const upload = this.#uploads.get(id);
    return upload && { upload, parts: this.#uploads.parts(id) };
  }

  /** Notes a part of that upload; false when it is not the expected one any more. */
  addPart(id: string, upload_id: string, part: PartStored): boolean {
    if (this.#uploads.get(id)?.upload_id !== upload_id) return false;
    this.#uploads.addPart(id, part);
    return true;
  }

  /** Gives an upload up that brought other bytes than were expected. */
  async dropUpload(id: string, upload_id: string): Promise<void> {
    const pending = this.#uploads.get(id);
    if (pending?.upload_id !== upload_id) return;
    await this.#discard(pending);
    this.#uploads.drop(id);
  }

  /** The active backups of a server of this project, newest first (nova: _rotate_backups). */
  backups(server: { uuid: string; project_id: string }, backup_type: string): string[] {
    const theirs = this.list().filter(
      ({ owner, status, properties }) =>
        owner === server.project_id &&
        status === "active" &&
        properties.image_type === "backup" &&
        properties.backup_type === backup_type &&
        properties.instance_uuid === server.uuid,
    );
    return theirs.map(({ id }) => id);
  }

  /** Applies all of a patch, or none of it. */
  patch(id: string, patch: ImagePatch): Result<Image, PatchError | { kind: "not_found" }> {
    const image = this.get(id);
    if (image === null) return err({ kind: "not_found" });
    const changed = patched(image, patch);
    if (changed.ok) this.#save(changed.value);
    return changed;
  }

  /** Removes an image with its bytes, and with what a host has brought of it; refuses one that is protected. */
  async remove(id: string): Promise<Result<undefined, "not_found" | "protected">> {
    const image = this.get(id);
    if (image === null) return err("not_found");
    if (image.protected) return err("protected");
    const pending = this.#uploads.get(id);
    if (pending) await this.#discard(pending);
    if (image.bytes !== null) await this.env.IMAGE_BYTES.delete(image.bytes);
    // An upload that ended meanwhile.
    const { bytes = null } = this.get(id) ?? {};
    if (bytes !== null && bytes !== image.bytes) await this.env.IMAGE_BYTES.delete(bytes);
    this.#uploads.drop(id);
    this.ctx.storage.sql.exec("DELETE FROM image WHERE id = ?", id);
    return ok();
  }

  /** Takes from R2 what an upload has brought; R2 itself forgets parts that nobody completes after 7 days. */
  async #discard({ image, key, upload_id }: PendingUpload): Promise<void> {
    try {
      await this.env.IMAGE_BYTES.resumeMultipartUpload(key, upload_id).abort();
    } catch (error) {
      log("image.abort_failed", { image, cause: causeOf(error) });
    }
    // It may have been completed, and not yet been read back.
    await this.env.IMAGE_BYTES.delete(key);
  }

  #save(image: Image): void {
    const text = JSON.stringify(image);
    this.ctx.storage.sql.exec("INSERT OR REPLACE INTO image VALUES (?, ?, ?)", image.id, image.created_at, text);
  }
}
