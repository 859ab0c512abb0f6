import { duplexPair } from "node:stream";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { HandshakeError, initiate, newNonce, type Opening, readOpening, respond } from "../../agent/move/handshake.ts";
import { secureDestination, secureSource } from "../../agent/move/secure.ts";
import { take } from "../../agent/move/take.ts";
import { newSigner } from "./move-hosts.ts";

const [a, b, stranger] = [newSigner(), newSigner(), newSigner()];
const source = { signer: a, peerKey: b.publicKey };
const destination = { signer: b, peerKey: a.publicKey };
const OPENING: Opening = { migration: crypto.randomUUID(), stream: 3, nonce: newNonce() };

/** What each end is given, when it is not what it should be. */
type Wrong = { opening?: Partial<Opening>; source?: typeof source; destination?: typeof destination };

/** Both halves; `change` is what becomes of each part on its way. */
function shake(wrong: Wrong = {}, change: (part: number, bytes: Buffer) => Buffer = (_, bytes) => bytes) {
  const one = initiate({ ...OPENING, ...wrong.opening }, wrong.source ?? source);
  const other = respond(change(1, one.first), OPENING, wrong.destination ?? destination);
  const { third, key } = one.finish(change(2, other.second));
  return [key, other.finish(change(3, third)).key] as const;
}

describe("the handshake of a stream", () => {
  it("gives both ends one key, and each stream another", () => {
    const [ours, theirs] = shake();
    expect(ours).toEqual(theirs);
    expect(ours).toHaveLength(32);
    expect(shake()[0]).not.toEqual(ours);
  });

  it("says in clear which stream it is, to who must find the move", () => {
    expect(readOpening(initiate(OPENING, source).first)).toEqual(OPENING);
  });

  it.each<[string, Wrong]>([
    ["another migration", { opening: { migration: crypto.randomUUID() } }],
    ["another stream", { opening: { stream: 4 } }],
    ["an earlier stream of this number", { opening: { nonce: newNonce() } }],
    ["a source that has not its host's key", { source: { ...source, signer: stranger } }],
    ["a destination that has not its host's key", { destination: { ...destination, signer: stranger } }],
    ["a source that means another destination", { source: { ...source, peerKey: stranger.publicKey } }],
    ["a destination that means another source", { destination: { ...destination, peerKey: stranger.publicKey } }],
    ["an end that talks to itself", { source: { signer: a, peerKey: a.publicKey }, destination: source }],
  ])("refuses %s", (_, wrong) => {
    expect(() => shake(wrong)).toThrow(HandshakeError);
  });

  it("refuses parts of an earlier one", () => {
    const parts = new Map<number, Buffer>();
    shake({}, (part, bytes) => {
      parts.set(part, bytes);
      return bytes;
    });
    for (const replayed of [1, 2, 3]) {
      expect(() => shake({}, (part, bytes) => (part === replayed ? parts.get(part)! : bytes))).toThrow(HandshakeError);
    }
  });

  it("refuses an end that sends back what it is sent", () => {
    const one = initiate(OPENING, source);
    const { second } = respond(one.first, OPENING, { signer: a, peerKey: a.publicKey });
    expect(() => one.finish(second)).toThrow(HandshakeError);
  });

  it("refuses every part that is changed anywhere, or of another length", () => {
    const change = fc.record({
      part: fc.integer({ min: 1, max: 3 }),
      at: fc.nat(),
      xor: fc.integer({ min: 1, max: 255 }),
    });
    fc.assert(
      fc.property(change, ({ part, at, xor }) => {
        const flipped = (bytes: Buffer) => {
          const copy = Buffer.from(bytes);
          copy[at % copy.length]! ^= xor;
          return copy;
        };
        expect(() => shake({}, (number, bytes) => (number === part ? flipped(bytes) : bytes))).toThrow(HandshakeError);
      }),
      { numRuns: 60 },
    );
    for (const part of [1, 2, 3]) {
      for (const length of [-1, 1]) {
        const other = (bytes: Buffer) => (length < 0 ? bytes.subarray(1) : Buffer.concat([bytes, Buffer.alloc(1)]));
        expect(() => shake({}, (number, bytes) => (number === part ? other(bytes) : bytes))).toThrow(HandshakeError);
      }
    }
  });

  it("takes no rubbish for an opening", () => {
    const rubbish = fc.uint8Array({ maxLength: 200 });
    fc.assert(fc.property(rubbish, (bytes) => readOpening(Buffer.from(bytes)) === null));
  });
});

describe("a secure stream", () => {
  const signal = () => AbortSignal.timeout(5000);

  it("carries bytes both ways, and the end of one alone", async () => {
    const [left, right] = duplexPair();
    const options = { opening: OPENING, signal: signal() };
    const [one, other] = await Promise.all([
      secureSource(left, { ...options, keys: source }),
      secureDestination(right, { ...options, keys: destination }),
    ]);
    expect(one.getCipher().name).toBe("PSK-AES256-GCM-SHA384");
    one.end("there");
    expect((await take(other, 5)).toString()).toBe("there");
    await expect(take(other, 1)).rejects.toThrow("cut off");
    other.end("and back");
    expect((await take(one, 8)).toString()).toBe("and back");
  });

  it("ends, with all that it rests on, when the other end has another key, says rubbish or nothing", async () => {
    const peers: ((stream: ReturnType<typeof duplexPair>[1]) => unknown)[] = [
      (right) =>
        secureDestination(right, {
          opening: OPENING,
          signal: signal(),
          keys: { ...destination, signer: stranger },
        }).catch(() => undefined),
      (right) => right.write(Buffer.alloc(100_000, 1)),
      (right) => right.end(),
      () => undefined,
    ];
    for (const peer of peers) {
      const [left, right] = duplexPair();
      peer(right);
      const options = { opening: OPENING, signal: AbortSignal.timeout(300), keys: source };
      await expect(secureSource(left, options)).rejects.toThrow();
      expect(left.destroyed).toBe(true);
    }
  });

  it("is not what any bytes at all make of it", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 2000 }), async (bytes) => {
        const [left, right] = duplexPair();
        right.end(bytes);
        const made = secureDestination(left, { opening: OPENING, signal: signal(), keys: destination });
        await expect(made).rejects.toThrow();
      }),
      { numRuns: 30 },
    );
  });
});
