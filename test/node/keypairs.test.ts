/** Key pairs (nova/api/openstack/compute/keypairs.py): each user's own. */
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ask, type CallOptions, demoImage, startTestEdge, type TestEdge } from "../edge.ts";
import { tokenOf } from "../tokens.ts";

const V = "/compute/v2.1";
const ADMIN = "0c7a1d9e54f84f6ab3b8c2f6f2d4e901";
const ED25519 = "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
const PUBLIC = `ssh-ed25519 ${ED25519} someone@somewhere`;
const FINGERPRINT = createHash("md5").update(Buffer.from(ED25519, "base64")).digest("hex").match(/../g)!.join(":");
const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBLjCB4aADAgECAhQvZpmcc2zGZee+rJU7ZxhGj8e55jAFBgMrZXAwDDEKMAgG
A1UEAwwBdDAgFw0yNjExMjMxNjAwMDFaGA8yMTI2MTAzMDE2MDAwMVowDDEKMAgG
A1UEAwwBdDAqMAUGAytlcAMhAByyQYq0/bdXBHOKntkCJRgWpu4lZ6VbsgKUqYf0
eGBko1MwUTAdBgNVHQ4EFgQUt48LqV2VqUlJthGoW3TyNSo5oK0wHwYDVR0jBBgw
FoAUt48LqV2VqUlJthGoW3TyNSo5oK0wDwYDVR0TAQH/BAUwAwEB/zAFBgMrZXAD
QQDlWepzOGVHZbpbvkME+CPB4CYUwfoiGFRXMdA0qBXqDs6j7TxtN/gOEunUssQg
0A+2tvzLuoOBzIIVeE4jtF8O
-----END CERTIFICATE-----`;
const CERTIFICATE_SHA1 = "cb:23:21:ab:30:8e:73:b0:47:3a:de:0c:b1:b8:3e:5d:59:4f:9b:c1";

let edge: TestEdge;

beforeAll(async () => {
  edge = await startTestEdge({ QUOTA_KEY_PAIRS: "3" });
});
afterAll(() => edge?.close());

const call = (method: string, path: string, body?: unknown, options: CallOptions = {}) =>
  ask(edge, method, `${V}/os-keypairs${path}`, { ...options, body });
const create = (keypair: object, options: CallOptions = {}) => call("POST", "", { keypair }, options);

/** The strings of SSH's wire format. */
function strings(bytes: Buffer): Buffer[] {
  const found: Buffer[] = [];
  for (let at = 0; at + 4 <= bytes.length; at += 4 + bytes.readUInt32BE(at)) {
    found.push(bytes.subarray(at + 4, at + 4 + bytes.readUInt32BE(at)));
  }
  return found;
}

describe("an imported key", () => {
  it("is made, shown, listed and deleted: 2.1", async () => {
    const made = await create({ name: "a key", public_key: PUBLIC }, { minor: 1 });
    const brief = { name: "a key", public_key: PUBLIC, fingerprint: FINGERPRINT };
    expect([made.status, made.body]).toEqual([200, { keypair: { ...brief, user_id: ADMIN } }]);
    expect((await call("GET", "", undefined, { minor: 1 })).body).toEqual({ keypairs: [{ keypair: brief }] });
    expect((await call("GET", "/a%20key", undefined, { minor: 1 })).body.keypair).toEqual({
      ...brief,
      user_id: ADMIN,
      id: expect.any(Number),
      created_at: expect.stringMatching(/^[^Z]*\.\d{6}$/),
      deleted: false,
      deleted_at: null,
      updated_at: null,
    });
    expect((await call("DELETE", "/a%20key", undefined, { minor: 1 })).status).toBe(202);
  });
  it("has a type, and other codes, from 2.2 on", async () => {
    const made = await create({ name: "k", public_key: `${PUBLIC}\n`, type: "ssh" }, { minor: 2 });
    expect([made.status, made.body.keypair.type]).toEqual([201, "ssh"]);
    expect((await call("GET", "", undefined, { minor: 2 })).body.keypairs[0].keypair.type).toBe("ssh");
    const twice = await create({ name: "k", public_key: PUBLIC });
    expect([twice.status, twice.body.conflictingRequest.message]).toEqual([409, "Key pair 'k' already exists."]);
    expect((await call("DELETE", "/k", undefined, { minor: 2 })).status).toBe(204);
    const gone = await call("DELETE", "/k");
    expect([gone.status, gone.body.itemNotFound.message]).toEqual([404, `Keypair k not found for user ${ADMIN}`]);
    expect((await call("GET", "/k")).status).toBe(404);
    expect((await create({ name: "k", public_key: PUBLIC, type: "ssh" }, { minor: 1 })).status).toBe(400);
  });
  it("may be RSA, whose fingerprint is of the blob", async () => {
    const { n, e } = generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey.export({ format: "jwk" });
    const field = (bytes: Buffer) => Buffer.concat([Buffer.from([0, 0, bytes.length >> 8, bytes.length & 255]), bytes]);
    const modulus = Buffer.concat([Buffer.from([0]), Buffer.from(n!, "base64url")]);
    const blob = Buffer.concat([field(Buffer.from("ssh-rsa")), field(Buffer.from(e!, "base64url")), field(modulus)]);
    const made = await create({ name: "rsa", public_key: `ssh-rsa ${blob.toString("base64")}` });
    expect(made.status).toBe(201);
    expect(made.body.keypair.fingerprint.replaceAll(":", "")).toBe(createHash("md5").update(blob).digest("hex"));
    await call("DELETE", "/rsa");
  });
  it.each([
    { name: "x", public_key: "" },
    { name: "x", public_key: "ssh-ed25519" },
    { name: "x", public_key: "ssh-ed25519 AAAA" },
    { name: "x", public_key: `ssh-rsa ${ED25519}` },
    { name: "x", public_key: `${PUBLIC}\nssh-ed25519 ${ED25519}` },
    { name: "x", public_key: "A".repeat(20_000) },
    { name: "x", public_key: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", type: "x509" },
    { name: "x", type: "pgp" },
    { name: "x", type: "x509" },
    { name: "", public_key: PUBLIC },
    { name: "a@b", public_key: PUBLIC },
    { name: "a/b", public_key: PUBLIC },
    { name: "é", public_key: PUBLIC },
    { name: " a", public_key: PUBLIC },
    { name: "a".repeat(256), public_key: PUBLIC },
    { name: "x", other: 1 },
  ])("%j is 400", async (keypair) => {
    expect((await create(keypair)).status).toBe(400);
  });
});

it("a certificate has its own fingerprint", async () => {
  const made = await create({ name: "x509", type: "x509", public_key: CERTIFICATE });
  expect([made.status, made.body.keypair]).toMatchObject([201, { type: "x509", fingerprint: CERTIFICATE_SHA1 }]);
  await call("DELETE", "/x509");
});

it("a generated key is an Ed25519 pair in OpenSSH's format, whose private half is shown once", async () => {
  const { status, body } = await create({ name: "made" });
  expect(status).toBe(201);
  const { public_key, private_key } = body.keypair;
  const lines = private_key.trim().split("\n");
  expect([lines.at(0), lines.at(-1)]).toEqual([
    "-----BEGIN OPENSSH PRIVATE KEY-----",
    "-----END OPENSSH PRIVATE KEY-----",
  ]);
  const file = Buffer.from(lines.slice(1, -1).join(""), "base64");
  expect(file.subarray(0, 15).toString("latin1")).toBe("openssh-key-v1\0");
  const [cipher, kdf, options] = strings(file.subarray(15));
  expect([cipher, kdf, options].map(String)).toEqual(["none", "none", ""]);
  const [blob, secret] = strings(file.subarray(15 + 8 + 8 + 4 + 4)) as [Buffer, Buffer];
  expect(blob.toString("base64")).toBe(public_key.split(" ")[1]);
  expect(secret.subarray(0, 4)).toEqual(secret.subarray(4, 8));
  expect(secret.length % 8).toBe(0);
  const [, point, pair] = strings(secret.subarray(8)) as [Buffer, Buffer, Buffer];
  const jwk = {
    kty: "OKP",
    crv: "Ed25519",
    d: pair.subarray(0, 32).toString("base64url"),
    x: point.toString("base64url"),
  };
  const derived = createPublicKey(createPrivateKey({ key: jwk, format: "jwk" })).export({ format: "jwk" });
  expect(derived.x).toBe(jwk.x);
  expect((await call("GET", "/made")).body.keypair).not.toHaveProperty("private_key");
  await call("DELETE", "/made");
});

it("pages by name from 2.35 on", async () => {
  for (const name of ["b", "a"]) await create({ name, public_key: PUBLIC });
  const names = (body: { keypairs: { keypair: { name: string } }[] }) => body.keypairs.map((one) => one.keypair.name);
  const first = (await call("GET", "?limit=1")).body;
  expect(names(first)).toEqual(["a"]);
  const next = new URL(first.keypairs_links[0].href);
  expect(names(await (await edge.call("GET", `${next.pathname}${next.search}`)).json())).toEqual(["b"]);
  expect(names((await call("GET", "?limit=1", undefined, { minor: 34 })).body)).toEqual(["a", "b"]);
  expect((await call("GET", "?marker=z")).body.badRequest.message).toBe("marker [z] not found");
  for (const name of ["b", "a"]) await call("DELETE", `/${name}`);
});

it("belongs to its user; an admin may say whose from 2.10 on", async () => {
  const user = "b".repeat(32);
  const token = await tokenOf({ user, roles: ["reader"] });
  expect((await create({ name: "theirs", public_key: PUBLIC }, { token })).body.keypair.user_id).toBe(user);
  expect((await call("GET", "")).body.keypairs).toEqual([]);
  expect((await call("GET", `?user_id=${user}`)).body.keypairs).toHaveLength(1);
  expect((await call("GET", `/theirs?user_id=${user}`)).body.keypair.user_id).toBe(user);
  expect((await call("GET", `/theirs?user_id=${user}`, undefined, { minor: 9 })).status).toBe(404);
  expect((await create({ name: "given", public_key: PUBLIC, user_id: user })).status).toBe(201);
  expect((await call("DELETE", `/given?user_id=${user}`)).status).toBe(204);
  for (const [method, path, body] of [
    ["GET", `?user_id=${ADMIN}`, undefined],
    ["GET", `/x?user_id=${ADMIN}`, undefined],
    ["DELETE", `/x?user_id=${ADMIN}`, undefined],
    ["POST", "", { keypair: { name: "x", user_id: ADMIN } }],
  ] as const) {
    expect((await call(method, path, body, { token })).status).toBe(403);
  }
});

it("is limited for each user: 403, however many come at once", async () => {
  const token = await tokenOf({ user: "c".repeat(32) });
  const made = await Promise.all(
    ["1", "2", "3", "4", "5"].map((name) => create({ name, public_key: PUBLIC }, { token })),
  );
  expect(made.map(({ status }) => status).sort()).toEqual([201, 201, 201, 403, 403]);
  const refused = made.find(({ status }) => status === 403);
  expect(refused!.body.forbidden.message).toBe("Quota exceeded, too many key pairs.");
});

it("is named by a server that is made with it", async () => {
  const image = await demoImage(edge.cloud);
  const server = { name: "a", imageRef: image, flavorRef: "1", networks: "none", key_name: "mine" };
  const refused = await ask(edge, "POST", `${V}/servers`, { body: { server } });
  expect([refused.status, refused.body.badRequest.message]).toEqual([400, "Invalid key_name provided."]);
  await create({ name: "mine", public_key: PUBLIC });
  const { id } = (await ask(edge, "POST", `${V}/servers`, { body: { server } })).body.server;
  expect((await ask(edge, "GET", `${V}/servers/${id}`)).body.server.key_name).toBe("mine");
  const listed = await edge.call("GET", `${V}/servers/detail`);
  expect(await listed.text()).not.toContain(ED25519);
});
