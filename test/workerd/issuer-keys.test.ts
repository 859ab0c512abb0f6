import { exportJWK, generateKeyPair, type JWK } from "jose";
import { expect, it } from "vitest";
import { IssuerKeys } from "../../functions/identity/issuer-keys.ts";

const token = { payload: "", signature: "" };

async function publicKey(kid: string): Promise<JWK & { kty: string }> {
  const { publicKey: key } = await generateKeyPair("ES256", { extractable: true });
  return { ...(await exportJWK(key)), kty: "EC", kid };
}

/** Keys that can be changed, and a clock. */
async function scripted() {
  const at = { now: 1_000_000, asked: 0, keys: [await publicKey("one")] };
  const load = async () => {
    at.asked++;
    return { keys: at.keys };
  };
  const keys = new IssuerKeys(load, () => at.now);
  const find = (kid: string) => keys.find({ alg: "ES256", kid }, token);
  return { at, find };
}

it("takes a new key when it is used, and asks for unknown ones at most every half minute", async () => {
  const { at, find } = await scripted();
  await find("one");
  at.keys.push(await publicKey("two"));
  await expect(find("two")).rejects.toMatchObject({ code: "ERR_JWKS_NO_MATCHING_KEY" });
  expect(at.asked).toBe(1);
  at.now += 30_001;
  await find("two");
  for (let round = 0; round < 5; round++) await expect(find("three")).rejects.toThrow();
  expect(at.asked).toBe(2);
});

it("forgets a key that the issuer withdrew after ten minutes", async () => {
  const { at, find } = await scripted();
  await find("one");
  at.keys = [await publicKey("two")];
  at.now += 600_000;
  await find("one");
  at.now += 1;
  await expect(find("one")).rejects.toThrow();
});
