/** Bodies and queries of key pairs (nova/api/openstack/compute/schemas/keypairs.py). */
import { z } from "zod";
import { has } from "../history.ts";
import { last, whole } from "./list.ts";
import { versioned } from "./versioned.ts";

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

const keypair = versioned({
  name: { schema: keyName, required: true },
  public_key: { schema: publicKey, required: "keypair.import-only" },
  type: { schema: z.enum(["ssh", "x509"]), on: "keypair.type" },
  user_id: { schema: userId, on: "keypair.user" },
});

export const createKeypair = (minor: number) => z.strictObject({ keypair: keypair(minor) });
export type CreateKeypair = z.infer<ReturnType<typeof keypair>>;

/** What a microversion does not know yet is ignored, and what none knows is refused from 2.75 on. */
export const keypairQuery = versioned(
  {
    user_id: { schema: last.pipe(userId), on: "keypair.user" },
    limit: { schema: whole, on: "keypair.paging" },
    marker: { schema: last, on: "keypair.paging" },
  },
  "query.strict",
);
export type KeypairQuery = z.infer<ReturnType<typeof keypairQuery>>;
