/** The record of an image that is made of a server (nova: compute/utils.py create_image). Pure. */
import type { ServerRecord } from "../conductor/record.ts";
import { err, ok, type Result } from "../result.ts";
import { type Image, isProperty, MAX_PROPERTIES, queuedImage } from "./image.ts";

/** nova: NON_INHERITABLE_IMAGE_PROPERTIES, and the default of the option non_inheritable_image_properties. */
const NOT_INHERITED: readonly string[] = [
  "cache_in_nova",
  "bittorrent",
  "cinder_encryption_key_id",
  "cinder_encryption_key_deletion_policy",
  "img_signature",
  "img_signature_hash_method",
  "img_signature_key_type",
  "img_signature_certificate_uuid",
];

export type SnapshotRequest = {
  name: string;
  metadata: Record<string, string>;
  /** Who asks. */
  user_id: string;
  project_id: string;
  /** Absent: a snapshot. */
  backup_type?: string;
};
export type SnapshotRefused = { kind: "no_property"; key: string } | { kind: "too_many_properties"; limit: number };

type Base = Pick<Image, "min_ram" | "min_disk" | "properties">;

/**
 * A queued image for `server`'s disk, owned by its project; `base` is what the server was booted from, null when that
 * is gone. The host's driver names the disk format when it has made the file.
 */
export function snapshotImage(
  server: Pick<ServerRecord, "uuid" | "project_id" | "flavor"> & { image: Pick<ServerRecord["image"], "id"> },
  base: Base | null,
  request: SnapshotRequest,
): Result<Image, SnapshotRefused> {
  const { name, metadata, user_id, backup_type } = request;
  const wrong = Object.keys(metadata).find((key) => !isProperty(key));
  if (wrong !== undefined) return err({ kind: "no_property", key: wrong });
  const inherited = Object.entries(base?.properties ?? {}).filter(([key]) => !NOT_INHERITED.includes(key));
  const foreign = request.project_id !== server.project_id;
  const properties: Record<string, string> = {
    // A snapshot of a snapshot names the image at the root of both.
    base_image_ref: server.image.id,
    ...Object.fromEntries(inherited),
    instance_uuid: server.uuid,
    user_id,
    image_type: backup_type === undefined ? "snapshot" : "backup",
    ...metadata,
    ...(backup_type === undefined ? {} : { backup_type }),
    ...(foreign ? { instance_owner: server.project_id } : {}),
  };
  if (Object.keys(properties).length > MAX_PROPERTIES) {
    return err({ kind: "too_many_properties", limit: MAX_PROPERTIES });
  }
  const set = {
    name,
    visibility: foreign ? "shared" : "private",
    container_format: "bare",
    min_ram: base?.min_ram ?? 0,
    min_disk: Math.max(base?.min_disk ?? 0, server.flavor.disk),
  } as const;
  return ok(queuedImage({ id: undefined, set, properties }, server.project_id));
}
