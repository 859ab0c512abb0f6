/** Log-ins by an outside issuer's JWT, on the path that keystoneauth's v3oidcaccesstoken calls. */
import { generateKeyPair } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestEdge, type TestEdge } from "../edge.ts";
import { type Issuer, startIssuer } from "../oidc-issuer.ts";
import { answer, DEMO, People, V3 } from "./identity-support.ts";

const PATH = `${V3}/OS-FEDERATION/identity_providers/keycloak/protocols/openid/auth`;
const MAPPING = [
  { claim: "groups", value: "ops", project: "demo", role: "admin" },
  { claim: "groups", value: "dev", project: "demo", role: "member" },
  { claim: "realm_access.roles", value: "watch", project: "demo", role: "reader" },
  { claim: "https://example.org/lab", project: "lab", role: "member" },
  { claim: "groups", value: "lost", project: "no such project", role: "member" },
];

let issuer: Issuer;
let edge: TestEdge;
let people: People;
const ask: People["ask"] = (...request) => people.ask(...request);

beforeAll(async () => {
  issuer = await startIssuer();
  edge = await startTestEdge({
    OIDC_ISSUER: issuer.url,
    OIDC_AUDIENCE: issuer.audience,
    OIDC_JWKS_URL: issuer.jwksUrl,
    OIDC_IDENTITY_PROVIDER: "keycloak",
    OIDC_MAPPING: JSON.stringify(MAPPING),
  });
  people = new People(edge);
  await people.make("project", { name: "lab" });
});
afterAll(async () => {
  await edge?.close();
  await issuer?.close();
});

async function exchange(jwt: string, path = PATH, method = "POST") {
  const headers = { authorization: `Bearer ${jwt}` };
  return answer(await fetch(`${edge.url}${path}`, { method, headers }));
}
/** A token on a project, as keystoneauth gets it: exchanged, then rescoped. */
async function enter(claims: Record<string, unknown>, project: string) {
  const { headers } = await exchange(await issuer.sign(claims));
  return people.auth(
    "token",
    { id: headers.get("x-subject-token") ?? "" },
    { project: { name: project, domain: { id: "default" } } },
  );
}
const roles = (body: { token: { roles: { name: string }[] } }) => body.token.roles.map(({ name }) => name);

describe.each(["GET", "POST"])("%s", (method) => {
  it.each(["rsa", "ec"])("gives an unscoped token for a JWT by the key %s", async (kid) => {
    const jwt = await issuer.sign({ sub: "ann", preferred_username: "ann", groups: ["dev"] }, { kid });
    const { status, headers, body } = await exchange(jwt, PATH, method);
    expect(status).toBe(201);
    expect(body.token).toMatchObject({ methods: ["mapped"], user: { name: "ann" } });
    expect(body.token).not.toHaveProperty("project");
    const token = headers.get("x-subject-token") ?? "";
    const { projects } = (await ask("GET", `${V3}/auth/projects`, { token })).body;
    expect(projects).toEqual([expect.objectContaining({ id: DEMO })]);
  });
});

describe("the claims give roles on projects", () => {
  it.each([
    [{ groups: ["x", "ops"] }, "demo", ["admin", "manager", "member", "reader"]],
    [{ groups: "dev" }, "demo", ["member", "reader"]],
    [{ realm_access: { roles: ["watch"] } }, "demo", ["reader"]],
    [{ "https://example.org/lab": 7 }, "lab", ["member", "reader"]],
  ])("%j: on %s %j", async (claims, project, expected) => {
    const { status, body } = await enter({ sub: JSON.stringify(claims), ...claims }, project);
    expect(status).toBe(201);
    expect(roles(body)).toEqual(expected);
  });
  it.each([{}, { groups: ["nobody"] }, { groups: ["lost"] }, { realm_access: "watch" }, { groups: { dev: true } }])(
    "%j: none, 401",
    async (claims) => {
      expect((await exchange(await issuer.sign({ sub: "stranger", ...claims }))).status).toBe(401);
    },
  );
  it("and take away what they no longer give", async () => {
    const first = await enter({ sub: "moving", groups: ["ops"] }, "demo");
    const token = first.headers.get("x-subject-token") ?? "";
    expect((await ask("GET", `${V3}/users`, { token })).status).toBe(200);
    const second = await enter({ sub: "moving", groups: ["dev"] }, "demo");
    expect(second.body.token.user.id).toBe(first.body.token.user.id);
    expect(roles(second.body)).toEqual(["member", "reader"]);
    expect((await ask("GET", `${V3}/users`, { token })).status).toBe(401);
  });
});

describe("refused: 401", () => {
  const good = { sub: "ann", groups: ["ops"] };
  const now = () => Math.floor(Date.now() / 1000);
  it.each<[string, () => Promise<string>]>([
    ["nothing", async () => ""],
    ["no JWT", async () => "nonsense"],
    ["another issuer's", () => issuer.sign({ ...good, iss: "https://evil.example" })],
    ["one for another audience", () => issuer.sign({ ...good, aud: "other" })],
    ["one that has expired", () => issuer.sign({ ...good, exp: now() - 60 })],
    ["one that is not yet good", () => issuer.sign({ ...good, nbf: now() + 600 })],
    ["one without an end", () => issuer.sign({ ...good, exp: undefined })],
    ["one of nobody", () => issuer.sign({ groups: ["ops"] })],
    ["one of an unknown key", () => issuer.sign(good, { kid: "other" })],
    ["one by another's key", async () => issuer.sign(good, { key: (await generateKeyPair("RS256")).privateKey })],
    [
      "one that takes a public key for a secret",
      () => {
        const key = new TextEncoder().encode(JSON.stringify(issuer.publicKeys()[0]));
        return issuer.sign(good, { alg: "HS256", key });
      },
    ],
    [
      "one that is not signed",
      async () => {
        const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
        const body = { iss: issuer.url, aud: issuer.audience, exp: now() + 60, ...good };
        return `${part({ alg: "none" })}.${part(body)}.`;
      },
    ],
    [
      "one that was changed",
      async () => (await issuer.sign(good)).replace(/\.(.)/, (_, at) => `.${at === "e" ? "f" : "e"}`),
    ],
  ])("%s", async (_, jwt) => {
    const { status, body } = await exchange(await jwt());
    expect([status, body.error.message]).toEqual([401, "The request you have made requires authentication."]);
  });
  it("a user whom an admin has disabled", async () => {
    const { body } = await exchange(await issuer.sign({ ...good, sub: "disabled" }));
    await ask("PATCH", `${V3}/users/${body.token.user.id}`, { body: { user: { enabled: false } } });
    expect((await exchange(await issuer.sign({ ...good, sub: "disabled" }))).status).toBe(401);
  });
});

it("a stranger never becomes a user of the same name", async () => {
  const { body } = await enter({ sub: "someone", preferred_username: "admin", groups: ["dev"] }, "demo");
  expect(body.token.user.name).toMatch(/^admin \([0-9a-f]{32}\)$/);
  expect(roles(body)).toEqual(["member", "reader"]);
});

it("he has no password", async () => {
  await exchange(await issuer.sign({ sub: "eve", preferred_username: "eve", groups: ["dev"] }));
  expect((await people.login("eve", "")).status).toBe(401);
});

it.each([PATH.replace("keycloak", "other"), PATH.replace("openid", "saml2")])("%s: 404", async (path) => {
  expect((await exchange(await issuer.sign({ sub: "ann", groups: ["ops"] }), path)).status).toBe(404);
});

it("asks for the issuer's keys once, and unknown keys do not make it ask more", async () => {
  const before = issuer.asked();
  for (let at = 0; at < 10; at++) await exchange(await issuer.sign({ sub: "ann" }, { kid: `made up ${at}` }));
  expect(issuer.asked() - before).toBeLessThanOrEqual(1);
});
