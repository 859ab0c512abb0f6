/** An issuer of JWTs on loopback, with keys of its own. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";

export type Issuer = {
  url: string;
  jwksUrl: string;
  audience: string;
  /** Signs claims; an `exp` in a minute and our `iss` and `aud` stand unless they are given. */
  sign(
    claims: Record<string, unknown>,
    options?: { kid?: string; key?: CryptoKey | Uint8Array; alg?: string },
  ): Promise<string>;
  /** How often its keys were asked for. */
  asked(): number;
  publicKeys(): JWK[];
  close(): Promise<void>;
};

export async function startIssuer(): Promise<Issuer> {
  const pairs = { rsa: await generateKeyPair("RS256"), ec: await generateKeyPair("ES256") };
  const keys = [
    { ...(await exportJWK(pairs.rsa.publicKey)), kid: "rsa", alg: "RS256", use: "sig" },
    { ...(await exportJWK(pairs.ec.publicKey)), kid: "ec", alg: "ES256", use: "sig" },
  ];
  let asked = 0;
  const server = createServer((_, response) => {
    asked++;
    response.setHeader("content-type", "application/json").end(JSON.stringify({ keys }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const audience = "edgenova-cloud";
  return {
    url,
    jwksUrl: `${url}/keys`,
    audience,
    sign(claims, { kid = "rsa", key, alg = kid === "ec" ? "ES256" : "RS256" } = {}) {
      const exp = Math.floor(Date.now() / 1000) + 60;
      return new SignJWT({ iss: url, aud: audience, exp, ...claims })
        .setProtectedHeader({ alg, kid })
        .sign(key ?? (kid === "ec" ? pairs.ec.privateKey : pairs.rsa.privateKey));
    },
    asked: () => asked,
    publicKeys: () => keys,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
