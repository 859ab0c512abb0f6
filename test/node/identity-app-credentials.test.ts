/** Application credentials against Keystone's v3 API. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestEdge, type TestEdge, until } from "../edge.ts";
import { DEMO, NOBODY, People, V3 } from "./identity-support.ts";

const PASSWORD = "correct horse";

let edge: TestEdge;
let people: People;
let ann: string;
let lab: string;
let token: string;
const ask: People["ask"] = (...request) => people.ask(...request);
const path = () => `${V3}/users/${ann}/application_credentials`;
const create = (fields: object, by = token) =>
  ask("POST", path(), { token: by, body: { application_credential: { name: `key-${++made}`, ...fields } } });
const use = (given: object, scope?: object) => people.auth("application_credential", given, scope);
let made = 0;

/** A new key and a token of it. */
async function key(fields: object = {}) {
  const { body } = await create(fields);
  const { id, secret } = body.application_credential;
  const used = await use({ id, secret });
  return { id, secret, used, token: used.headers.get("x-subject-token") ?? "" };
}

beforeAll(async () => {
  edge = await startTestEdge();
  people = new People(edge);
  lab = await people.make("project", { name: "lab" });
  ann = await people.make("user", { name: "ann", password: PASSWORD });
  await people.give("manager", ann, lab);
  token = await people.token("ann", PASSWORD, lab);
});
afterAll(() => edge?.close());

describe("made", () => {
  it("shows its secret once", async () => {
    const { status, body } = await create({ name: "once", description: "for the robot" });
    expect(status).toBe(201);
    const { secret, ...shown } = body.application_credential;
    expect(secret).toMatch(/^[\w-]{86}$/);
    expect(shown).toEqual({
      id: expect.stringMatching(/^[0-9a-f]{32}$/),
      name: "once",
      description: "for the robot",
      project_id: lab,
      roles: ["manager", "member", "reader"].map((name) => expect.objectContaining({ name, domain_id: null })),
      expires_at: null,
      unrestricted: false,
      links: { self: `${edge.url}${path()}/${shown.id}` },
    });
    expect((await ask("GET", `${path()}/${shown.id}`, { token })).body.application_credential).toEqual(shown);
    expect((await ask("GET", `${path()}?name=once`, { token })).body.application_credentials).toEqual([shown]);
    expect((await ask("GET", path())).body.application_credentials).toContainEqual(shown);
  });
  it.each([
    ["without a name", { name: undefined }, 400],
    ["with a name that is taken", { name: "once" }, 409],
    ["with a role that he has not", { roles: [{ name: "admin" }] }, 400],
    ["with an unknown role", { roles: [{ id: NOBODY }] }, 400],
    ["in the past", { expires_at: "2020-01-01T00:00:00" }, 400],
    ["with no time", { expires_at: "soon" }, 400],
    ["with an impossible time", { expires_at: "2099-99-99T00:00:00" }, 400],
    ["with access rules", { access_rules: [{ path: "/", method: "GET", service: "compute" }] }, 400],
  ])("%s: %i", async (_, fields, status) => {
    expect((await create(fields)).status).toBe(status);
  });
  it("by somebody else, even an admin, or without a project: 403", async () => {
    const admin = await ask("POST", path(), { body: { application_credential: { name: "x" } } });
    expect(admin.status).toBe(403);
    expect((await create({}, await people.token("ann", PASSWORD))).status).toBe(403);
  });
  it("is seen and deleted by its user and by admins", async () => {
    await people.make("user", { name: "bob", password: PASSWORD });
    const bob = await people.token("bob", PASSWORD);
    const { id } = await key();
    for (const [method, tail] of [
      ["GET", ""],
      ["GET", `/${id}`],
      ["DELETE", `/${id}`],
    ] as const) {
      expect((await ask(method, `${path()}${tail}`, { token: bob })).status).toBe(403);
    }
    expect((await ask("DELETE", `${path()}/${id}`)).status).toBe(204);
    expect((await ask("GET", `${path()}/${id}`, { token })).status).toBe(404);
    expect((await ask("DELETE", `${path()}/${id}`, { token })).status).toBe(404);
  });
});

describe("used", () => {
  it("by id or by name and user, gives the project and the roles it was made with", async () => {
    const { id, secret, used, token: got } = await key({ name: "robot", roles: [{ name: "reader" }] });
    expect(used.body.token).toMatchObject({
      methods: ["application_credential"],
      user: { id: ann, name: "ann" },
      project: { id: lab },
      roles: [{ name: "reader" }],
      application_credential: { id, name: "robot", restricted: true },
    });
    expect(used.body.token.roles).toHaveLength(1);
    expect((await ask("GET", "/compute/v2.1/servers", { token: got })).status).toBe(200);
    expect((await ask("POST", "/compute/v2.1/servers", { token: got, body: {} })).status).toBe(403);
    const user = { name: "ann", domain: { id: "default" } };
    expect((await use({ name: "robot", user, secret })).status).toBe(201);
    expect((await use({ name: "robot", user: { id: ann }, secret })).status).toBe(201);
  });
  it("with roles that imply others gives those too", async () => {
    const { used } = await key({ roles: [{ name: "member" }] });
    expect(used.body.token.roles.map((role: { name: string }) => role.name)).toEqual(["member", "reader"]);
  });
  it("with a secret of the user's own", async () => {
    expect((await key({ secret: "of my own" })).used.status).toBe(201);
  });
  it("wrongly: 401", async () => {
    const { id, secret } = await key({ name: "wrong" });
    const user = { name: "ann", domain: { id: "default" } };
    for (const given of [
      { id, secret: "wrong" },
      { id: NOBODY, secret },
      { name: "wrong", secret },
      { name: "other", user, secret },
      { name: "wrong", user: { ...user, domain: { id: "other" } }, secret },
      { name: "wrong", user: { name: "admin" }, secret },
    ]) {
      expect((await use(given)).status, JSON.stringify(given)).toBe(401);
    }
    expect((await use({ id, secret }, { project: { id: DEMO } })).status).toBe(401);
  });
  it("ends in time, and so do its tokens", async () => {
    const expires_at = new Date(Date.now() + 3000).toISOString();
    const { id, secret, used, token: got } = await key({ expires_at });
    expect(used.status).toBe(201);
    expect(Date.parse(used.body.token.expires_at)).toBeLessThanOrEqual(Date.parse(expires_at));
    await until(async () => (await use({ id, secret })).status === 401, "it has ended");
    expect((await ask("GET", `${V3}/auth/projects`, { token: got })).status).toBe(401);
  });
});

describe("a token of one", () => {
  it("opens no other project, and makes no keys", async () => {
    const { id, token: got } = await key();
    expect((await people.auth("token", { id: got }, { project: { id: lab } })).status).toBe(401);
    expect((await create({}, got)).status).toBe(403);
    expect((await ask("DELETE", `${path()}/${id}`, { token: got })).status).toBe(403);
  });
  it("makes keys when it is unrestricted", async () => {
    expect((await create({}, (await key({ unrestricted: true })).token)).status).toBe(201);
  });
  it("is void when the key is deleted", async () => {
    const { id, secret, token: got } = await key();
    expect((await ask("DELETE", `${path()}/${id}`, { token })).status).toBe(204);
    expect((await ask("GET", `${V3}/auth/projects`, { token: got })).status).toBe(401);
    expect((await use({ id, secret })).status).toBe(401);
  });
});

it("goes when its user loses a role that it has; one with the roles he still has stays", async () => {
  const user = await people.make("user", { name: "cid", password: PASSWORD });
  await people.give("manager", user, lab);
  await people.give("reader", user, lab);
  const by = await people.token("cid", PASSWORD, lab);
  const own = `${V3}/users/${user}/application_credentials`;
  for (const name of ["manager", "reader"]) {
    const application_credential = { name, roles: [{ name }] };
    expect((await ask("POST", own, { token: by, body: { application_credential } })).status).toBe(201);
  }
  await people.take("manager", user, lab);
  const left = (await ask("GET", own)).body.application_credentials;
  expect(left.map((one: { name: string }) => one.name)).toEqual(["reader"]);
  await ask("DELETE", `${V3}/users/${user}`);
  expect((await ask("GET", own)).body.application_credentials).toEqual([]);
});
