/** Log-ins, scopes, and what takes a token back, against Keystone's v3 API. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestEdge, type TestEdge } from "../edge.ts";
import { TEST_SECRETS } from "../secrets.ts";
import { DEMO, NOBODY, OPERATOR, People, V3 } from "./identity-support.ts";

const PASSWORD = "correct horse";

let edge: TestEdge;
let people: People;
let lab: string;
const ask: People["ask"] = (...request) => people.ask(...request);
let made = 0;

/** A member of the lab that no other test touches. */
async function someone(fields: object = {}): Promise<{ id: string; name: string }> {
  const name = `user-${++made}`;
  const id = await people.make("user", { name, password: PASSWORD, ...fields });
  await people.give("member", id, lab);
  return { id, name };
}
const works = async (token: string) => (await ask("GET", `${V3}/auth/projects`, { token })).status === 200;

beforeAll(async () => {
  edge = await startTestEdge();
  people = new People(edge);
  lab = await people.make("project", { name: "lab" });
});
afterAll(() => edge?.close());

describe("a log-in", () => {
  it("without a scope goes to the user's default project, or nowhere", async () => {
    const nowhere = await someone();
    expect((await people.login(nowhere.name, PASSWORD)).body.token).toEqual({
      methods: ["password"],
      user: {
        id: nowhere.id,
        name: nowhere.name,
        domain: { id: "default", name: "Default" },
        password_expires_at: null,
      },
      audit_ids: [expect.any(String)],
      issued_at: expect.any(String),
      expires_at: expect.any(String),
    });
    const home = await someone({ default_project_id: lab });
    expect((await people.login(home.name, PASSWORD)).body.token.project).toMatchObject({ id: lab, name: "lab" });
    const given = { user: { id: home.id, password: PASSWORD } };
    expect((await people.auth("password", given, "unscoped")).body.token).not.toHaveProperty("project");
  });
  it.each([
    ["a wrong password", { password: "wrong" }, undefined],
    ["an unknown user", { name: "nobody" }, undefined],
    ["a project he has no role on", {}, { project: { id: DEMO } }],
    ["an unknown project", {}, { project: { id: NOBODY } }],
    ["another domain's project", {}, { project: { name: "lab", domain: { id: "other" } } }],
    ["a domain", {}, { domain: { id: "default" } }],
    ["the system", {}, { system: { all: true } }],
  ])("with %s: 401, in the same words", async (_, change, scope) => {
    const { name } = await someone();
    const user = { name, domain: { id: "default" }, password: PASSWORD, ...change };
    const { status, body } = await people.auth("password", { user }, scope);
    expect([status, body.error.message]).toEqual([401, "The request you have made requires authentication."]);
  });
  it("of a user without a password, of a disabled one, or to a disabled project: 401", async () => {
    await people.make("user", { name: "no password" });
    expect((await people.login("no password", "")).status).toBe(401);
    const off = await someone({ enabled: false });
    expect((await people.login(off.name, PASSWORD)).status).toBe(401);
    const project = await people.make("project", { name: "closed", enabled: false });
    const user = await someone();
    await people.give("member", user.id, project);
    expect((await people.login(user.name, PASSWORD, project)).status).toBe(401);
    const { body } = await ask("GET", `${V3}/auth/projects`, { token: await people.token(user.name, PASSWORD) });
    expect(body.projects.map((one: { id: string }) => one.id)).toEqual([lab]);
  });
  it.each([["totp"], ["external"], ["constructor"]])("by %s: 401", async (method) => {
    expect((await people.auth(method, {})).status).toBe(401);
  });
});

describe("wrong passwords", () => {
  it("stop the pair of user and address after ten, and nobody else", async () => {
    const [victim, other] = [await someone(), await someone()];
    const wrong = () => people.login(victim.name, "wrong");
    const statuses = (await Promise.all(Array.from({ length: 14 }, wrong))).map(({ status }) => status);
    expect(statuses.filter((status) => status === 401)).toHaveLength(10);
    expect(statuses.filter((status) => status === 429)).toHaveLength(4);
    const stopped = await people.login(victim.name, PASSWORD);
    expect(stopped.status).toBe(429);
    expect(Number(stopped.headers.get("retry-after"))).toBeGreaterThan(200);
    expect((await people.auth("password", { user: { id: victim.id, password: PASSWORD } })).status).toBe(429);
    expect((await people.login(other.name, PASSWORD)).status).toBe(201);
    const elsewhere = { "cf-connecting-ip": "192.0.2.7" };
    expect((await people.login(victim.name, PASSWORD, undefined, elsewhere)).status).toBe(201);
  });
  it("are forgotten after a right one", async () => {
    const { name } = await someone();
    for (let round = 0; round < 3; round++) {
      for (let at = 0; at < 6; at++) expect((await people.login(name, "wrong")).status).toBe(401);
      expect((await people.login(name, PASSWORD)).status).toBe(201);
    }
  });
});

describe("POST /v3/users/{u}/password", () => {
  const change = (id: string, original_password: string, password: string) =>
    ask("POST", `${V3}/users/${id}/password`, { token: null, body: { user: { original_password, password } } });

  it("changes it for who knows the old one, and voids his tokens", async () => {
    const { id, name } = await someone();
    const token = await people.token(name, PASSWORD, lab);
    expect((await change(id, "wrong", "another")).status).toBe(401);
    expect(await works(token)).toBe(true);
    expect((await change(id, PASSWORD, "another")).status).toBe(204);
    expect(await works(token)).toBe(false);
    expect((await people.login(name, PASSWORD)).status).toBe(401);
    expect(await works(await people.token(name, "another", lab))).toBe(true);
  });
  it("does not change the operator's, which is a secret of the deployment", async () => {
    expect((await change(OPERATOR, TEST_SECRETS.ADMIN_PASSWORD, "another")).status).toBe(403);
    expect((await people.login("admin", TEST_SECRETS.ADMIN_PASSWORD)).status).toBe(201);
  });
  it("of nobody: 401", async () => expect((await change(NOBODY, "x", "y")).status).toBe(401));
});

describe("a token for another scope, by a token", () => {
  it("ends when the first does", async () => {
    const { name } = await someone();
    const first = await people.login(name, PASSWORD);
    const id = first.headers.get("x-subject-token");
    const second = await people.auth("token", { id }, { project: { name: "lab", domain: { name: "Default" } } });
    expect(second.status).toBe(201);
    expect(second.body.token).toMatchObject({ methods: ["token", "password"], project: { id: lab } });
    expect(Date.parse(second.body.token.expires_at)).toBeLessThanOrEqual(Date.parse(first.body.token.expires_at));
    expect(await works(second.headers.get("x-subject-token") ?? "")).toBe(true);
  });
  it.each(["", "nonsense"])("with the token %j: 401", async (id) => {
    expect((await people.auth("token", { id })).status).toBe(401);
  });
  it("with one that was taken back: 401", async () => {
    const { name } = await someone();
    const token = await people.token(name, PASSWORD);
    await ask("DELETE", `${V3}/auth/tokens`, { token, headers: { "x-subject-token": token } });
    expect((await people.auth("token", { id: token }, { project: { id: lab } })).status).toBe(401);
  });
});

describe("a token is void", () => {
  const subject = (token: string) => ({ headers: { "x-subject-token": token } });

  it("when its holder gives it up; his others are not", async () => {
    const { name } = await someone();
    const [one, two] = [await people.token(name, PASSWORD, lab), await people.token(name, PASSWORD, lab)];
    expect((await ask("DELETE", `${V3}/auth/tokens`, { token: two, ...subject(one) })).status).toBe(204);
    expect([await works(one), await works(two)]).toEqual([false, true]);
    expect((await ask("GET", `${V3}/auth/tokens`, { token: two, ...subject(one) })).status).toBe(404);
    expect((await ask("GET", "/compute/v2.1/servers", { token: one })).status).toBe(401);
  });
  it("when an admin takes it; another user cannot", async () => {
    const [user, other] = [await someone(), await someone()];
    const token = await people.token(user.name, PASSWORD, lab);
    const stranger = await people.token(other.name, PASSWORD, lab);
    expect((await ask("DELETE", `${V3}/auth/tokens`, { token: stranger, ...subject(token) })).status).toBe(404);
    expect(await works(token)).toBe(true);
    expect((await ask("DELETE", `${V3}/auth/tokens`, subject(token))).status).toBe(204);
    expect(await works(token)).toBe(false);
  });
  it("when a role is taken away: on that project only", async () => {
    const { id, name } = await someone();
    const second = await people.make("project", { name: "second" });
    await people.give("member", id, second);
    const [here, there] = [await people.token(name, PASSWORD, lab), await people.token(name, PASSWORD, second)];
    expect(await people.take("member", id, second)).toBe(204);
    expect([await works(here), await works(there)]).toEqual([true, false]);
    expect((await people.login(name, PASSWORD, second)).status).toBe(401);
  });
  it.each([
    ["the user is disabled", "PATCH", "users", { user: { enabled: false } }],
    ["the user has a new password", "PATCH", "users", { user: { password: "another" } }],
    ["the user is deleted", "DELETE", "users", undefined],
    ["the project is disabled", "PATCH", "projects", { project: { enabled: false } }],
    ["the project is deleted", "DELETE", "projects", undefined],
  ])("when %s", async (what, method, plural, body) => {
    const { id, name } = await someone();
    const project = await people.make("project", { name: what });
    await people.give("member", id, project);
    const token = await people.token(name, PASSWORD, project);
    expect(await works(token)).toBe(true);
    const path = `${V3}/${plural}/${plural === "users" ? id : project}`;
    expect((await ask(method, path, body ? { body } : {})).status).toBeLessThan(300);
    expect(await works(token)).toBe(false);
  });
  it("when the role itself is deleted", async () => {
    const { id, name } = await someone();
    const project = await people.make("project", { name: "of a role" });
    const role = await people.make("role", { name: "passing" });
    await people.give("passing", id, project);
    const token = await people.token(name, PASSWORD, project);
    expect((await ask("DELETE", `${V3}/roles/${role}`)).status).toBe(204);
    expect(await works(token)).toBe(false);
  });
  it("but not when only a name changes", async () => {
    const { id, name } = await someone();
    const token = await people.token(name, PASSWORD, lab);
    await ask("PATCH", `${V3}/users/${id}`, { body: { user: { name: `${name}-new`, email: null } } });
    expect(await works(token)).toBe(true);
  });
});

describe("text that no client sends is no 500", () => {
  const odd = ["\u0000", "\ud800", "a\u0000b", "\ud800\udc00", "'; DROP TABLE user; --", "%", "x".repeat(255)];
  it.each(odd)("%j in a log-in", async (text) => {
    const user = (given: object) => ({ user: { password: text, ...given } });
    for (const given of [{ name: text, domain: { id: "default" } }, { id: text }]) {
      expect((await people.auth("password", user(given), { project: { name: text } })).status).toBe(401);
    }
    expect((await people.auth("token", { id: text })).status).toBe(401);
    expect((await people.auth("application_credential", { id: text, secret: text })).status).toBe(401);
  });
  it.each(odd)("%j in a body and in a query", async (text) => {
    const { id } = await someone();
    const fields = { name: text, description: text, email: text, default_project_id: text, password: text };
    for (const [key, value] of Object.entries(fields)) {
      const { status } = await ask("PATCH", `${V3}/users/${id}`, { body: { user: { [key]: value } } });
      expect([200, 400, 409], key).toContain(status);
    }
    for (const name of ["name", "user.id", "scope.project.id"]) {
      const query = `${name}=${encodeURIComponent(text.toWellFormed())}`;
      for (const plural of ["users", "role_assignments"]) {
        expect((await ask("GET", `${V3}/${plural}?${query}`)).status).toBe(200);
      }
    }
    expect((await ask("GET", `${V3}/users/${encodeURIComponent(text.toWellFormed())}`)).status).toBe(404);
  });
});
