/** Bodies and queries of key pairs (nova/api/openstack/compute/schemas/keypairs.py). */
import { z } from "zod";
import { last, whole } from "./list.ts";

export const TYPE_MINOR = 2;
export const USER_MINOR = 10;
export const PAGING_MINOR = 35;
/** From here on keys are not generated, and a name may have `@` and `.`. */
export const IMPORT_ONLY_MINOR = 92;
const STRICT_MINOR = 75;

/** Longest public key, characters: an RSA key of 16384 bits has 2,800; a certificate's chain is not a key. */
const MAX_KEY_CHARS = 16_384;

const keyName = (minor: number) =>
  z
    .string()
    .min(1)
    .max(255)
    .regex(
      minor >= IMPORT_ONLY_MINOR ? /^(?! )[a-zA-Z0-9 _\-@.]+(?<! )$/ : /^(?! )[a-zA-Z0-9 _-]+(?<! )$/,
      "Keypair data is invalid: Keypair name contains unsafe characters",
    );

const publicKey = z.string().min(1).max(MAX_KEY_CHARS);
const userId = z
  .string()
  .max(255)
  .regex(/^[a-zA-Z0-9-]+$/, "It is not a user's id.");

type CreateKeypair = { name: string; public_key?: string; type?: "ssh" | "x509"; user_id?: string };

export const createKeypair = (minor: number) =>
  z.strictObject({
    keypair: z.strictObject({
      name: keyName(minor),
      public_key: minor >= IMPORT_ONLY_MINOR ? publicKey : publicKey.optional(),
      ...(minor >= TYPE_MINOR ? { type: z.enum(["ssh", "x509"]).optional() } : {}),
      ...(minor >= USER_MINOR ? { user_id: userId.optional() } : {}),
    }),
  }) as unknown as z.ZodType<{ keypair: CreateKeypair }>;

type KeypairQuery = { user_id?: string; limit?: number; marker?: string };

/** What a microversion does not know yet is ignored, and what none knows is refused from 2.75 on. */
export function keypairQuery(minor: number): z.ZodType<KeypairQuery> {
  const shape = {
    ...(minor >= USER_MINOR ? { user_id: last.pipe(userId).optional() } : {}),
    ...(minor >= PAGING_MINOR ? { limit: whole.optional(), marker: last.optional() } : {}),
  };
  return (minor >= STRICT_MINOR ? z.strictObject(shape) : z.object(shape)) as unknown as z.ZodType<KeypairQuery>;
}
