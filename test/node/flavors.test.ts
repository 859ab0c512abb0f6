/** Flavors, their extra specs and who may use them (flavors.py, flavor_manage.py, flavors_extraspecs.py, flavor_access.py). */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ask, type CallOptions, DEMO_PROJECT, demoImage, startTestEdge, type TestEdge } from "../edge.ts";
import { tokenOf } from "../tokens.ts";

const V = "/compute/v2.1";
const SIZE = { ram: 64, vcpus: 1, disk: 1 };

let edge: TestEdge;
let member: string;

beforeAll(async () => {
  edge = await startTestEdge();
  member = await tokenOf();
});
afterAll(() => edge?.close());

const call = (method: string, path: string, body?: unknown, options: CallOptions = {}) =>
  ask(edge, method, `${V}/flavors${path}`, { ...options, body });
const create = (flavor: object, options: CallOptions = {}) =>
  call("POST", "", { flavor: { ...SIZE, ...flavor } }, options);
const ids = async (path: string, options: CallOptions = {}) =>
  (await call("GET", path, undefined, options)).body.flavors.map((one: { id: string }) => one.id);

describe("a flavor", () => {
  it("is made, shown, described and removed", async () => {
    const made = await create({ name: "tiny", id: "t 1", description: "small", swap: "512", rxtx_factor: "1.5" });
    expect([made.status, made.body.flavor]).toEqual([
      200,
      {
        ...SIZE,
        id: "t 1",
        name: "tiny",
        description: "small",
        swap: 512,
        rxtx_factor: 1.5,
        links: expect.any(Array),
        "OS-FLV-EXT-DATA:ephemeral": 0,
        "OS-FLV-DISABLED:disabled": false,
        "os-flavor-access:is_public": true,
        extra_specs: {},
      },
    ]);
    expect((await call("GET", "/t%201")).body).toEqual(made.body);
    expect((await call("PUT", "/t%201", { flavor: { description: null } })).body.flavor.description).toBeNull();
    expect((await call("PUT", "/t%201", { flavor: { description: "x" } }, { minor: 54 })).status).toBe(404);
    expect((await call("DELETE", "/t%201")).status).toBe(202);
    expect((await call("GET", "/t%201")).status).toBe(404);
    expect((await call("DELETE", "/t%201")).status).toBe(404);
  });
  it("without an id, or with null, gets a UUID", async () => {
    for (const [name, id] of [["a"], ["b", null]] as const) {
      const { flavor } = (await create({ name, ...(id === undefined ? {} : { id }) })).body;
      expect(flavor.id).toMatch(/^[0-9a-f-]{36}$/);
      await call("DELETE", `/${flavor.id}`);
    }
  });
  it.each([
    [{ name: "m1.tiny" }, "Flavor with name m1.tiny already exists."],
    [{ name: "other", id: "1" }, "Flavor with ID 1 already exists."],
    [{ name: "other", id: 1 }, "Flavor with ID 1 already exists."],
  ])("%j is a duplicate: 409", async (flavor, words) => {
    const { status, body } = await create(flavor);
    expect([status, body.conflictingRequest.message]).toEqual([409, words]);
  });
  it.each([
    { name: "" },
    { name: " x" },
    { name: "x".repeat(256) },
    { name: "x", id: "" },
    { name: "x", id: " 1" },
    { name: "x", id: "a/b" },
    { name: "x", ram: 0 },
    { name: "x", ram: 2 ** 31 },
    { name: "x", ram: "1.5" },
    { name: "x", vcpus: -1 },
    { name: "x", disk: -1 },
    { name: "x", disk: undefined },
    { name: "x", swap: "" },
    { name: "x", rxtx_factor: 0 },
    { name: "x", rxtx_factor: "fast" },
    { name: "x", "os-flavor-access:is_public": "perhaps" },
    { name: "x", other: 1 },
  ])("%j is 400", async (flavor) => {
    expect((await create(flavor)).status).toBe(400);
  });
  it("has no description before 2.55", async () => {
    expect((await create({ name: "x", description: "y" }, { minor: 54 })).status).toBe(400);
  });
  it("without a disk boots nothing for who is no admin", async () => {
    const image = await demoImage(edge.cloud);
    const none = (await create({ name: "diskless", disk: 0 })).body.flavor.id;
    const diskless = { server: { name: "a", imageRef: image, flavorRef: none, networks: "none" } };
    const refused = await ask(edge, "POST", `${V}/servers`, { body: diskless, token: member });
    expect([refused.status, refused.body.forbidden.message]).toEqual([
      403,
      "Only volume-backed servers are allowed for flavors with zero disk.",
    ]);
    await call("DELETE", `/${none}`);
  });
});

describe("extra specs", () => {
  const at = "/2/os-extra_specs";
  it("are merged by POST, and have items of their own", async () => {
    const posted = await call("POST", at, { extra_specs: { "hw:cpu_policy": "shared", n: 2 } });
    expect([posted.status, posted.body]).toEqual([200, { extra_specs: { "hw:cpu_policy": "shared", n: "2" } }]);
    expect((await call("PUT", `${at}/n`, { n: "3" })).body).toEqual({ n: "3" });
    expect((await call("GET", `${at}/n`)).body).toEqual({ n: "3" });
    expect((await call("GET", at)).body).toEqual({ extra_specs: { "hw:cpu_policy": "shared", n: "3" } });
    expect((await call("GET", "/2")).body.flavor.extra_specs).toEqual({ "hw:cpu_policy": "shared", n: "3" });
    expect((await call("DELETE", `${at}/n`)).status).toBe(200);
    const gone = await call("DELETE", `${at}/n`);
    expect([gone.status, gone.body.itemNotFound.message]).toEqual([404, "Flavor 2 has no extra specs with key n."]);
    expect((await call("GET", `${at}/constructor`)).status).toBe(404);
  });
  it.each([
    ["POST", at, {}, 400],
    ["POST", at, { extra_specs: { "a/b": "x" } }, 400],
    ["POST", at, { extra_specs: { a: "x".repeat(256) } }, 400],
    ["POST", at, { extra_specs: { a: null } }, 400],
    ["POST", "/no/os-extra_specs", { extra_specs: { a: "x" } }, 404],
    ["PUT", `${at}/k`, { k: "1", l: "2" }, 400],
    ["PUT", `${at}/k`, { l: "2" }, 400],
    ["PUT", `${at}/k`, {}, 400],
    ["PUT", "/no/os-extra_specs/k", { k: "1" }, 404],
    ["DELETE", "/no/os-extra_specs/k", undefined, 404],
  ])("%s %s %j is %i", async (method, path, body, status) => {
    expect((await call(method, path, body)).status).toBe(status);
  });
});

describe("a private flavor", () => {
  const access = { flavor_access: [{ flavor_id: "p", tenant_id: DEMO_PROJECT }] };
  beforeAll(async () => {
    await create({ name: "private", id: "p", "os-flavor-access:is_public": "False" });
  });

  it("is seen by others only while it is shared with their project", async () => {
    const token = member;
    expect((await call("GET", "/p", undefined, { token })).status).toBe(404);
    expect(await ids("?is_public=None", { token })).not.toContain("p");
    expect((await call("GET", "/p")).status).toBe(200);
    const shared = await call("POST", "/p/action", { addTenantAccess: { tenant: DEMO_PROJECT } });
    expect([shared.status, shared.body]).toEqual([200, access]);
    expect((await call("GET", "/p/os-flavor-access")).body).toEqual(access);
    expect((await call("GET", "/p", undefined, { token })).status).toBe(200);
    expect(await ids("", { token })).toContain("p");
    const taken = await call("POST", "/p/action", { removeTenantAccess: { tenant: DEMO_PROJECT } });
    expect([taken.status, taken.body]).toEqual([200, { flavor_access: [] }]);
    expect(await ids("", { token })).not.toContain("p");
  });
  it("is listed for admins by is_public, and all are for None", async () => {
    expect(await ids("")).not.toContain("p");
    expect(await ids("?is_public=false")).toEqual(["p"]);
    expect(await ids("/detail?is_public=None")).toEqual(expect.arrayContaining(["1", "p"]));
    expect((await call("GET", "?is_public=perhaps")).status).toBe(400);
  });
  it.each([
    ["/p/action", { addTenantAccess: { tenant: "nobody" } }, 61, 400, "Project ID nobody is not a valid project."],
    ["/p/action", { removeTenantAccess: { tenant: DEMO_PROJECT } }, 61, 404, "Flavor access not found for flavor p"],
    ["/1/action", { addTenantAccess: { tenant: DEMO_PROJECT } }, 7, 409, "Can not add access to a public flavor."],
    ["/no/action", { addTenantAccess: { tenant: DEMO_PROJECT } }, 61, 404, "Flavor no could not be found."],
    ["/p/action", { fly: {} }, 61, 400, "There is no such action: fly"],
    ["/p/action", { addTenantAccess: {} }, 61, 400, "'tenant' is a required property"],
  ])("%s %j at 2.%i is %i: %s", async (path, body, minor, status, words) => {
    const answer = await call("POST", path, body, { minor });
    expect([answer.status, JSON.stringify(answer.body)]).toEqual([status, expect.stringContaining(words)]);
  });
  it("is not shared twice, and a public one has no list", async () => {
    const body = { addTenantAccess: { tenant: DEMO_PROJECT } };
    expect((await call("POST", "/p/action", body)).status).toBe(200);
    expect((await call("POST", "/p/action", body)).status).toBe(409);
    const { status, body: said } = await call("GET", "/1/os-flavor-access");
    expect([status, said.itemNotFound.message]).toEqual([404, "Access list not available for public flavors."]);
  });
});

it("is for admins to change", async () => {
  for (const [method, path, body] of [
    ["POST", "", { flavor: { name: "x", ...SIZE } }],
    ["PUT", "/1", { flavor: { description: "x" } }],
    ["DELETE", "/1", undefined],
    ["POST", "/1/os-extra_specs", { extra_specs: {} }],
    ["PUT", "/1/os-extra_specs/k", { k: "v" }],
    ["DELETE", "/1/os-extra_specs/k", undefined],
    ["GET", "/1/os-flavor-access", undefined],
    ["POST", "/1/action", { addTenantAccess: { tenant: "x" } }],
  ] as const) {
    expect((await call(method, path, body, { token: member })).status).toBe(403);
  }
});
