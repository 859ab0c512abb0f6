/** What the edge answers to an agent that brings an image's bytes (agent: snapshot-upload.ts). */
import { z } from "zod";

/**
 * R2 wants parts of one size, 5 MiB at the least and 10,000 at the most (the last may be smaller): this allows images of
 * 156 GiB.
 */
export const PART_BYTES = 16 * 1024 * 1024;
export const MAX_PARTS = 10_000;

/** GET: whether the image is there already; else which parts (from 1 on) the edge has of it. */
export const uploadState = z.discriminatedUnion("active", [
  z.object({ active: z.literal(true) }),
  z.object({
    active: z.literal(false),
    part_bytes: z
      .int()
      .min(5 * 1024 * 1024)
      .max(100 * 1024 * 1024),
    parts: z.array(z.int().min(1).max(MAX_PARTS)).max(MAX_PARTS),
  }),
]);
export type UploadState = z.infer<typeof uploadState>;

/**
 * POST: how the upload ended. "mismatch": what came is not what was announced, and is dropped; "gone": the image was
 * deleted meanwhile. Blanks come before it, so that the line is not silent while the edge reads.
 */
export const uploadEnd = z.object({ result: z.enum(["active", "mismatch", "gone"]) });
export type UploadEnd = z.infer<typeof uploadEnd>;
