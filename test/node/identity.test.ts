/** Users, projects, roles, assignments and domains against Keystone's v3 API: a row a rule. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestEdge, type TestEdge } from "../edge.ts";
import { DEMO, NOBODY, OPERATOR, People, V3 } from "./identity-support.ts";

const PASSWORD = "correct horse";

let edge: TestEdge;
let people: People;
let ann: string;
let lab: string;
let member: string;
let reader: string;
const ask: People["ask"] = (...request) => people.ask(...request);

beforeAll(async () => {
  edge = await startTestEdge();
  people = new People(edge);
  lab = await people.make("project", { name: "lab", description: "where ann works", domain_id: "default" });
  ann = await people.make("user", { name: "ann", password: PASSWORD, email: "ann@example.org" });
  await people.give("member", ann, lab);
  const bob = await people.make("user", { name: "bob", password: PASSWORD });
  await people.give("reader", bob, lab);
  member = await people.token("ann", PASSWORD, lab);
  reader = await people.token("bob", PASSWORD, lab);
});
afterAll(() => edge?.close());

describe("shapes", () => {
  it("of a user, who is never shown with a password", async () => {
    const { status, body } = await ask("GET", `${V3}/users/${ann}`);
    expect(status).toBe(200);
    expect(body.user).toEqual({
      id: ann,
      name: "ann",
      description: "",
      email: "ann@example.org",
      enabled: true,
      domain_id: "default",
      password_expires_at: null,
      options: {},
      links: { self: `${edge.url}${V3}/users/${ann}` },
    });
    expect(ann).toMatch(/^[0-9a-f]{32}$/);
  });
  it("of a project", async () => {
    expect((await ask("GET", `${V3}/projects/${lab}`)).body.project).toEqual({
      id: lab,
      name: "lab",
      description: "where ann works",
      enabled: true,
      domain_id: "default",
      parent_id: "default",
      is_domain: false,
      tags: [],
      options: {},
      links: { self: `${edge.url}${V3}/projects/${lab}` },
    });
  });
  it("of the domain, and of no other", async () => {
    const { body } = await ask("GET", `${V3}/domains`);
    expect(body.domains).toEqual([expect.objectContaining({ id: "default", name: "Default", enabled: true })]);
    expect((await ask("GET", `${V3}/domains/default`)).body.domain.name).toBe("Default");
    expect((await ask("GET", `${V3}/domains/${NOBODY}`)).status).toBe(404);
  });
  it("of role assignments, with names when they are asked for", async () => {
    const path = `${V3}/role_assignments?user.id=${ann}`;
    const role = await people.roleId("member");
    const links = { assignment: `${edge.url}${V3}/projects/${lab}/users/${ann}/roles/${role}` };
    expect((await ask("GET", path)).body.role_assignments).toEqual([
      { user: { id: ann }, role: { id: role }, scope: { project: { id: lab } }, links },
    ]);
    const domain = { id: "default", name: "Default" };
    expect((await ask("GET", `${path}&include_names`)).body.role_assignments).toEqual([
      {
        user: { id: ann, name: "ann", domain },
        role: { id: role, name: "member" },
        scope: { project: { id: lab, name: "lab", domain } },
        links,
      },
    ]);
    expect((await ask("GET", `${V3}/role_assignments?scope.system=all`)).body.role_assignments).toEqual([]);
    expect((await ask("GET", `${V3}/projects/${lab}/users/${ann}/roles`)).body.roles).toEqual([
      expect.objectContaining({ id: role, name: "member", domain_id: null }),
    ]);
    expect((await ask("GET", new URL(links.assignment).pathname)).status).toBe(204);
    expect((await edge.call("HEAD", new URL(links.assignment).pathname)).status).toBe(204);
  });
});

describe("lists are filtered", () => {
  it.each([
    ["users", "", ["admin", "ann", "bob"]],
    ["users", "?name=ann", ["ann"]],
    ["users", "?name=an", []],
    ["users", "?enabled=true&name=ann", ["ann"]],
    ["users", "?enabled=False", []],
    ["users", "?domain_id=default&name=bob", ["bob"]],
    ["users", "?domain_id=other", []],
    ["projects", "?name=lab", ["lab"]],
    ["projects", "", ["demo", "lab"]],
    ["roles", "", ["admin", "manager", "member", "reader", "service"]],
  ])("%s%s", async (plural, query, names) => {
    const { status, body } = await ask("GET", `${V3}/${plural}${query}`);
    expect(status).toBe(200);
    expect(body[plural].map((one: { name: string }) => one.name)).toEqual(names);
    expect(body.links).toMatchObject({ next: null, previous: null });
  });
  it("by a thing that is no boolean: 400", async () => {
    expect((await ask("GET", `${V3}/users?enabled=maybe`)).status).toBe(400);
  });
});

describe("refused", () => {
  it.each([
    ["POST", "/users", { user: { name: "ann" } }, 409],
    ["POST", "/projects", { project: { name: "lab" } }, 409],
    ["POST", "/roles", { role: { name: "member" } }, 409],
    ["POST", "/users", { user: {} }, 400],
    ["POST", "/users", { user: { name: "" } }, 400],
    ["POST", "/users", { user: { name: "x", password: "" } }, 400],
    ["POST", "/users", { user: { name: "x", enabled: "yes" } }, 400],
    ["POST", "/users", { user: { name: "x", domain_id: "other" } }, 400],
    ["POST", "/projects", { project: { name: "x".repeat(65) } }, 400],
    ["PATCH", `/users/${NOBODY}`, { user: {} }, 404],
    ["DELETE", `/projects/${NOBODY}`, undefined, 404],
    ["GET", `/roles/${NOBODY}`, undefined, 404],
    ["PUT", `/projects/${DEMO}/users/${NOBODY}/roles/${NOBODY}`, undefined, 404],
    ["DELETE", `/projects/${DEMO}/users/${OPERATOR}/roles/${NOBODY}`, undefined, 404],
    ["DELETE", `/users/${OPERATOR}`, undefined, 403],
    ["PATCH", `/users/${OPERATOR}`, { user: { enabled: false } }, 403],
    ["PATCH", `/users/${OPERATOR}`, { user: { password: "another" } }, 403],
    ["PATCH", `/users/${OPERATOR}`, { user: { name: "root" } }, 403],
    ["DELETE", `/projects/${DEMO}`, undefined, 403],
    ["PATCH", `/projects/${DEMO}`, { project: { enabled: false } }, 403],
    ["POST", "/domains", { domain: { name: "x" } }, 405],
  ])("%s %s %j: %i", async (method, path, body, status) => {
    const refused = await ask(method, `${V3}${path}`, body === undefined ? {} : { body });
    expect(refused.status, JSON.stringify(refused.body)).toBe(status);
  });
  it("to rename onto a name that is taken", async () => {
    const { status } = await ask("PATCH", `${V3}/users/${ann}`, { body: { user: { name: "bob" } } });
    expect(status).toBe(409);
  });
  it("the operator's admin role and the roles that policy knows stay", async () => {
    expect(await people.take("admin", OPERATOR, DEMO)).toBe(403);
    for (const role of ["reader", "service"]) {
      expect((await ask("DELETE", `${V3}/roles/${await people.roleId(role)}`)).status).toBe(403);
    }
  });
});

describe("a user who is no admin", () => {
  it.each([
    ["GET", () => "/users", 403],
    ["POST", () => "/users", 403],
    ["GET", () => `/users/${ann}`, 200],
    ["GET", () => `/users/${OPERATOR}`, 403],
    ["GET", () => `/users/${NOBODY}`, 403],
    ["PATCH", () => `/users/${ann}`, 403],
    ["DELETE", () => `/users/${ann}`, 403],
    ["GET", () => `/users/${ann}/projects`, 200],
    ["GET", () => `/users/${OPERATOR}/projects`, 403],
    ["GET", () => "/projects", 403],
    ["GET", () => `/projects/${lab}`, 200],
    ["GET", () => `/projects/${DEMO}`, 403],
    ["GET", () => "/roles", 403],
    ["GET", () => "/role_assignments", 403],
    ["GET", () => "/domains", 403],
    ["GET", () => "/domains/default", 200],
    ["PUT", () => `/projects/${DEMO}/users/${ann}/roles/${NOBODY}`, 403],
    ["GET", () => "/auth/projects", 200],
    ["GET", () => "/auth/catalog", 200],
  ])("%s %s: %i", async (method, path, status) => {
    const { status: got } = await ask(method, `${V3}${path()}`, { token: member });
    expect(got).toBe(status);
  });
  it("sees his projects", async () => {
    for (const path of [`${V3}/users/${ann}/projects`, `${V3}/auth/projects`]) {
      const { body } = await ask("GET", path, { token: member });
      expect(body.projects).toEqual([expect.objectContaining({ id: lab, name: "lab" })]);
    }
  });
});

describe("on the compute API", () => {
  const servers = "/compute/v2.1/servers";
  const wanted = { server: { name: "x", imageRef: "", flavorRef: "1", networks: "none" } };

  it("a member is in his own project, and another's server is not there", async () => {
    const image = await (await import("../edge.ts")).demoImage(edge.cloud);
    const theirs = await edge.cloud.createServer("theirs", image, "1");
    expect((await ask("GET", servers, { token: member })).body.servers).toEqual([]);
    for (const [method, tail] of [
      ["GET", ""],
      ["DELETE", ""],
      ["POST", "/action"],
    ] as const) {
      const body = method === "POST" ? { body: { "os-start": null } } : {};
      expect((await ask(method, `${servers}/${theirs}${tail}`, { token: member, ...body })).status).toBe(404);
    }
    const made = await ask("POST", servers, { token: member, body: { server: { ...wanted.server, imageRef: image } } });
    expect(made.status).toBe(202);
    const shown = await ask("GET", `${servers}/${made.body.server.id}`, { token: member });
    expect(shown.body.server).toMatchObject({ tenant_id: lab, user_id: ann });
    expect(shown.body.server).not.toHaveProperty(["OS-EXT-SRV-ATTR:host"]);
  });
  it.each([
    ["GET", servers, 200],
    ["GET", `${servers}?all_tenants=1`, 403],
    ["GET", `${servers}?status=deleted`, 403],
  ])("a member's %s %s: %i", async (method, path, status) => {
    expect((await ask(method, path, { token: member })).status).toBe(status);
  });
  it("a member enrols no host", async () => {
    expect((await ask("POST", "/agent/v1/join-tokens", { token: member, body: { host: "x" } })).status).toBe(403);
  });
  it("a reader reads and changes nothing", async () => {
    expect((await ask("GET", servers, { token: reader })).status).toBe(200);
    expect((await ask("POST", servers, { token: reader, body: wanted })).status).toBe(403);
  });
  it("a role of the operator's own making opens nothing", async () => {
    await people.make("role", { name: "auditor" });
    const eve = await people.make("user", { name: "eve", password: PASSWORD, default_project_id: lab });
    await people.give("auditor", eve, lab);
    const token = await people.token("eve", PASSWORD);
    expect((await ask("GET", servers, { token })).status).toBe(403);
  });
  it("an unscoped token is no project's: 401", async () => {
    expect((await ask("GET", servers, { token: await people.token("ann", PASSWORD) })).status).toBe(401);
  });
});

describe("roles imply those below", () => {
  it.each([
    ["admin", ["admin", "manager", "member", "reader"]],
    ["manager", ["manager", "member", "reader"]],
    ["member", ["member", "reader"]],
    ["reader", ["reader"]],
  ])("%s", async (role, names) => {
    const name = `the ${role}`;
    const id = await people.make("user", { name, password: PASSWORD });
    const project = await people.make("project", { name });
    await people.give(role, id, project);
    const { body } = await people.login(name, PASSWORD, project);
    expect(body.token.roles.map((one: { name: string }) => one.name)).toEqual(names);
  });
});

it("a project that is deleted leaves no server out of an admin's sight", async () => {
  const image = await (await import("../edge.ts")).demoImage(edge.cloud, "for a project that goes");
  const name = "going";
  const project = await people.make("project", { name });
  const user = await people.make("user", { name, password: PASSWORD });
  await people.give("member", user, project);
  const wanted = { name, imageRef: image, flavorRef: "1", networks: "none" };
  const token = await people.token(name, PASSWORD, project);
  const made = await ask("POST", "/compute/v2.1/servers", { token, body: { server: wanted } });
  expect((await ask("DELETE", `${V3}/projects/${project}`)).status).toBe(204);
  const { servers } = (await ask("GET", `/compute/v2.1/servers?all_tenants=1&name=${name}`)).body;
  expect(servers.map(({ id }: { id: string }) => id)).toEqual([made.body.server.id]);
  expect((await ask("DELETE", `/compute/v2.1/servers/${made.body.server.id}`)).status).toBe(204);
});

it("a project that is deleted leaves no assignment and is no default", async () => {
  const gone = await people.make("project", { name: "gone" });
  const id = await people.make("user", { name: "leftover", password: PASSWORD, default_project_id: gone });
  await people.give("member", id, gone);
  expect((await ask("DELETE", `${V3}/projects/${gone}`)).status).toBe(204);
  expect((await ask("GET", `${V3}/projects/${gone}`)).status).toBe(404);
  expect((await ask("GET", `${V3}/role_assignments?user.id=${id}`)).body.role_assignments).toEqual([]);
  expect((await ask("GET", `${V3}/users/${id}`)).body.user).not.toHaveProperty("default_project_id");
  expect((await people.login("leftover", PASSWORD)).body.token).not.toHaveProperty("project");
});
