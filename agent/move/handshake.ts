/**
 * How the two ends of a stream prove to each other that they have their hosts' keys, and agree on a key that the stream
 * is then encrypted with (secure.ts). The source begins, whichever end the stream is for (SIGMA, Krawczyk 2003):
 *
 *   source        destination
 *     | -- opening, source's ephemeral ----------> |   what it is to be part of, in clear
 *     | <-- destination's ephemeral, signature --- |
 *     | -- signature ----------------------------> |
 *
 * Each ephemeral is an X25519 key of this stream alone. Each signature is of all that was said and of who speaks to
 * whom, so one that was recorded is good for no other stream, side or peer. The parts have fixed lengths.
 */
import { createPublicKey, diffieHellman, generateKeyPairSync, hkdfSync, type KeyObject } from "node:crypto";
import type { MoveSide } from "../../functions/protocol/move.ts";
import { type Signer, signedBy } from "../identity.ts";

const MAGIC = Buffer.from("edgenova move 1\n");
const UUID_BYTES = 16;
const NONCE_BYTES = 8;
const EPHEMERAL_BYTES = 32;
const SIGNATURE_BYTES = 64;
/** As long as AES-256's. */
const KEY_BYTES = 32;
const OPENING_BYTES = MAGIC.length + UUID_BYTES + 1 + NONCE_BYTES;

export const FIRST_BYTES = OPENING_BYTES + EPHEMERAL_BYTES;
export const SECOND_BYTES = EPHEMERAL_BYTES + SIGNATURE_BYTES;
export const THIRD_BYTES = SIGNATURE_BYTES;

/** What a stream is: of which migration, which of its streams, and which of those that had this number. */
export type Opening = { migration: string; stream: number; nonce: string };
/** This host's key, and the one that the other host enrolled with. */
export type Keys = { signer: Signer; peerKey: string };

/** The other end is not what it should be, or does not speak as it should. */
export class HandshakeError extends Error {
  override name = "HandshakeError";
}

export function newNonce(): string {
  return crypto
    .randomUUID()
    .replaceAll("-", "")
    .slice(0, 2 * NONCE_BYTES);
}

/** What the first bytes of a stream say that it is; null when they are no opening. Nothing of it is proved. */
export function readOpening(first: Buffer): Opening | null {
  if (first.length < FIRST_BYTES || !first.subarray(0, MAGIC.length).equals(MAGIC)) return null;
  const at = MAGIC.length + UUID_BYTES;
  const hex = first.toString("hex", MAGIC.length, at);
  return {
    migration: hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5"),
    stream: first.readUInt8(at),
    nonce: first.toString("hex", at + 1, at + 1 + NONCE_BYTES),
  };
}

/** The source's half: says `first`, and, given what came back, the third part and the key. Throws HandshakeError. */
export function initiate(
  opening: Opening,
  keys: Keys,
): { first: Buffer; finish(second: Buffer): { third: Buffer; key: Buffer } } {
  const own = ephemeral();
  const first = Buffer.concat([bytesOf(opening), own.raw]);
  return {
    first,
    finish(second) {
      expectLength(second, SECOND_BYTES);
      const theirs = second.subarray(0, EPHEMERAL_BYTES);
      const said = Buffer.concat([first, theirs, keyBytes(keys.signer.publicKey), keyBytes(keys.peerKey)]);
      expectSigned(keys, said, "destination", second.subarray(EPHEMERAL_BYTES));
      return { third: signature(keys, said, "source"), key: keyOf(own.secret, theirs, said) };
    },
  };
}

/** The destination's half: given `first`, the second part, and, given the third, the key. Throws HandshakeError. */
export function respond(
  first: Buffer,
  expected: Opening,
  keys: Keys,
): { second: Buffer; finish(third: Buffer): { key: Buffer } } {
  expectLength(first, FIRST_BYTES);
  if (!first.subarray(0, OPENING_BYTES).equals(bytesOf(expected))) throw new HandshakeError("it is of another stream");
  const own = ephemeral();
  const theirs = first.subarray(OPENING_BYTES);
  const said = Buffer.concat([first, own.raw, keyBytes(keys.peerKey), keyBytes(keys.signer.publicKey)]);
  return {
    second: Buffer.concat([own.raw, signature(keys, said, "destination")]),
    finish(third) {
      expectLength(third, THIRD_BYTES);
      expectSigned(keys, said, "source", third);
      return { key: keyOf(own.secret, theirs, said) };
    },
  };
}

function bytesOf({ migration, stream, nonce }: Opening): Buffer {
  const uuid = Buffer.from(migration.replaceAll("-", ""), "hex");
  return Buffer.concat([MAGIC, uuid, Buffer.from([stream]), Buffer.from(nonce, "hex")]);
}

function ephemeral(): { secret: KeyObject; raw: Buffer } {
  const { privateKey, publicKey } = generateKeyPairSync("x25519");
  return { secret: privateKey, raw: Buffer.from(publicKey.export({ format: "jwk" }).x ?? "", "base64url") };
}

const keyBytes = (key: string) => Buffer.from(key, "base64url");
const claimOf = (said: Buffer, side: MoveSide) => Buffer.concat([Buffer.from(`edgenova move, ${side}\n`), said]);

function signature({ signer }: Keys, said: Buffer, side: MoveSide): Buffer {
  return Buffer.from(signer.sign(claimOf(said, side)));
}

function expectSigned({ peerKey }: Keys, said: Buffer, side: MoveSide, signature: Buffer): void {
  if (!signedBy(peerKey, claimOf(said, side), signature)) {
    throw new HandshakeError("the other end does not have its host's key");
  }
}

function expectLength({ length }: Buffer, expected: number): void {
  if (length !== expected) throw new HandshakeError(`a part of ${length} bytes came where ${expected} are due`);
}

function keyOf(secret: KeyObject, theirs: Buffer, said: Buffer): Buffer {
  try {
    const publicKey = createPublicKey({
      key: { kty: "OKP", crv: "X25519", x: theirs.toString("base64url") },
      format: "jwk",
    });
    const shared = diffieHellman({ privateKey: secret, publicKey });
    return Buffer.from(hkdfSync("sha256", shared, said, "edgenova move key", KEY_BYTES));
  } catch (cause) {
    // A key of low order, which would make the secret known to all (RFC 7748 §6.1).
    throw new HandshakeError("the other end's ephemeral is none", { cause });
  }
}
