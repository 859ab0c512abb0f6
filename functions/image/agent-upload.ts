/**
 * /agent/v1/images/{id}/file: a host brings the bytes of an image that is expected of it (agent: snapshot-upload.ts).
 *
 * The parts go to R2 as they come, in any order and more than once. What a part holds is hashed by nobody on its way,
 * as a hash has to see all bytes in their order and its state cannot be put away between two requests; so when all parts
 * are there, the whole is read back from R2, and it is the hash of what R2 gives that the image's record says.
 * A request's CPU time bounds the size that can be read back: about 4 s for each GiB, of the 300 s that a deployment may
 * ask for with limits.cpu_ms.
 */
import type { Context } from "hono";
import { stream } from "hono/streaming";
import type { AppEnv } from "../api/app-env.ts";
import { badRequest, conflict, forbidden, notFound } from "../api/fault.ts";
import { log } from "../log.ts";
import { PART_BYTES, type UploadEnd, type UploadState } from "../protocol/upload.ts";
import { Hashes } from "./hashes.ts";
import type { PartStored, PendingUpload } from "./pending-uploads.ts";

/** After each so many bytes that were read back, the agent hears that somebody is there. */
const SIGN_OF_LIFE_BYTES = 64 * 1024 * 1024;

const images = (c: Context<AppEnv>) => c.env.IMAGES.getByName("default");

/** What the edge has of the image, for the host that is to bring it. */
export async function uploadState(c: Context<AppEnv>, host: string): Promise<Response> {
  const pending = await expected(c, host);
  if (pending === "active") return c.json({ active: true } satisfies UploadState);
  const parts = pending.parts.map(({ number }) => number);
  return c.json({ active: false, part_bytes: PART_BYTES, parts } satisfies UploadState);
}

/** Takes one part. */
export async function putPart(c: Context<AppEnv>, host: string): Promise<Response> {
  const pending = await expected(c, host);
  if (pending === "active") throw conflict("The image has its bytes already.");
  const { upload } = pending;
  const number = Number(/^[0-9]{1,5}$/.exec(c.req.param("part") ?? "")?.[0] ?? 0);
  if (number < 1 || number > partsOf(upload)) throw badRequest("The file has no such part.");
  const bytes = Math.min(PART_BYTES, upload.size - (number - 1) * PART_BYTES);
  if (Number(c.req.header("content-length")) !== bytes || c.req.raw.body === null) {
    throw badRequest(`Part ${number} has ${bytes} bytes, as its Content-Length must say.`);
  }
  const multipart = c.env.IMAGE_BYTES.resumeMultipartUpload(upload.key, upload.upload_id);
  const { etag } = await multipart.uploadPart(number, c.req.raw.body);
  const noted = await images(c).addPart(upload.image, upload.upload_id, { number, etag });
  if (!noted) throw conflict("The upload is over.");
  return c.body(null, 204);
}

/** All parts are there: joins them, reads them back, and makes the image active if they are what was expected. */
export async function endUpload(c: Context<AppEnv>, host: string): Promise<Response> {
  const pending = await expected(c, host);
  if (pending === "active") return c.json({ result: "active" } satisfies UploadEnd);
  const { upload, parts } = pending;
  if (parts.length < partsOf(upload)) throw conflict("Parts are missing.");
  await join(c.env.IMAGE_BYTES, upload, parts);
  c.header("content-type", "application/json");
  return stream(c, async (line) => {
    const hashes = new Hashes();
    const object = await c.env.IMAGE_BYTES.get(upload.key);
    let told = 0;
    for await (const chunk of object?.body ?? []) {
      hashes.update(chunk);
      if (hashes.size - told < SIGN_OF_LIFE_BYTES) continue;
      told = hashes.size;
      await line.write(" ");
    }
    await line.write(JSON.stringify({ result: await settle(c, upload, hashes) } satisfies UploadEnd));
  });
}

async function settle(c: Context<AppEnv>, upload: PendingUpload, hashes: Hashes): Promise<UploadEnd["result"]> {
  const { image, key, upload_id, disk_format } = upload;
  const uploaded = { ...hashes.digest(), bytes: key, disk_format };
  if (uploaded.size !== upload.size || uploaded.os_hash_value !== upload.sha512) {
    log("image.upload_mismatch", { image, host: upload.host });
    await images(c).dropUpload(image, upload_id);
    return "mismatch";
  }
  if (await images(c).activate(image, uploaded)) return "active";
  // Ended twice at the same time, or uploaded by its owner, or deleted.
  const now = await images(c).get(image);
  if (now?.bytes !== key) await c.env.IMAGE_BYTES.delete(key);
  return now?.status === "active" ? "active" : "gone";
}

/** Makes one object of the parts; once, however often an upload is ended. */
async function join(bucket: R2Bucket, { key, upload_id }: PendingUpload, parts: readonly PartStored[]): Promise<void> {
  if ((await bucket.head(key)) !== null) return;
  const multipart = bucket.resumeMultipartUpload(key, upload_id);
  try {
    await multipart.complete(parts.map(({ number, etag }) => ({ partNumber: number, etag })));
  } catch (error) {
    // Another request was faster.
    if ((await bucket.head(key)) === null) throw error;
  }
}

/** The upload that is expected of this host; 403 when it is another's, 404 when there is none. */
async function expected(c: Context<AppEnv>, host: string): Promise<Pending | "active"> {
  const id = c.req.param("id") ?? "";
  const pending = await images(c).pendingUpload(id);
  if (pending === null) {
    if ((await images(c).get(id))?.status === "active") return "active";
    throw notFound(`Image ${id.slice(0, 64)} could not be found.`);
  }
  if (pending.upload.host !== host) throw forbidden("The image is not this host's to upload.");
  return pending;
}
type Pending = { upload: PendingUpload; parts: PartStored[] };

const partsOf = (upload: PendingUpload) => Math.ceil(upload.size / PART_BYTES);
