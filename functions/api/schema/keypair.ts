/** Bodies and queries of key pairs (nova/api/openstack/compute/schemas/keypairs.py). */
import { z } from "zod";
import { has } from "../history.ts";
import { last, whole } from "./list.ts";
import { parameters } from "./query.ts";

/** Longest public key, characters: an RSA key of 16384 bits has 2,800; a certificate's chain is not a key. */
const MAX_KEY_CHARS = 16_384;

const keyName = (minor: number) =>
  z
    .string()
    .min(1)
    .max(255)
    .regex(
      has(minor, "keypair.import-only") ? /^(?! )[a-zA-Z0-9 _\-@.]+(?<! )$/ : /^(?! )[a-zA-Z0-9 _-]+(?<! )$/,
      "Keypair data is invalid: Keypair name contains unsafe characters",
    );

const publicKey = z.string().min(1).max(MAX_KEY_CHARS);
const userId = z
  .string()
  .max(255)
  .regex(/^[a-zA-Z0-9-]+$/, "It is not a user's id.");

export type CreateKeypair = { name: string; public_key?: string; type?: "ssh" | "x509"; user_id?: string };

export const createKeypair = (minor: number) =>
  z.strictObject({
    keypair: z.strictObject({
      name: keyName(minor),
      public_key: has(minor, "keypair.import-only") ? publicKey : publicKey.optional(),
      ...(has(minor, "keypair.type") ? { type: z.enum(["ssh", "x509"]).optional() } : {}),
      ...(has(minor, "keypair.user") ? { user_id: userId.optional() } : {}),
    }),
  }) as unknown as z.ZodType<{ keypair: CreateKeypair }>;

export type KeypairQuery = { user_id?: string; limit?: number; marker?: string };

/** What a microversion does not know yet is ignored, and what none knows is refused from 2.75 on. */
export function keypairQuery(minor: number): z.ZodType<KeypairQuery> {
  const shape = {
    ...(has(minor, "keypair.user") ? { user_id: last.pipe(userId).optional() } : {}),
    ...(has(minor, "keypair.paging") ? { limit: whole.optional(), marker: last.optional() } : {}),
  };
  return parameters(minor, shape) as unknown as z.ZodType<KeypairQuery>;
}
