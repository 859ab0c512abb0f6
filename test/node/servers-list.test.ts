/** Lists of servers: whose, which, in what order, and those that are gone (nova/api/openstack/compute/servers.py _get_servers). */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  ask as askEdge,
  type CallOptions,
  DEMO_PROJECT,
  demoImage,
  startTestEdge,
  type TestEdge,
  until,
} from "../edge.ts";
import { tokenOf } from "../tokens.ts";

const V = "/compute/v2.1";
const LAST = 96;
const FUTURE = "2999-01-01T00:00:00Z";
const PAST = "2000-01-01T00:00:00Z";

let edge: TestEdge;
let member: string;
let image: string;
const id: Record<string, string> = {};

const ask = (method: string, path: string, options: CallOptions = {}) =>
  askEdge(edge, method, path, { minor: LAST, ...options });
const make = async (name: string, change: object = {}) => {
  const server = { name, imageRef: image, flavorRef: "1", networks: "none", ...change };
  const { body } = await ask("POST", `${V}/servers`, { body: { server } });
  await edge.cloud.built(body.server.id, 20_000);
  id[name] = body.server.id;
};
const names = async (query: string, options: CallOptions = {}) => {
  const { status, body } = await ask("GET", `${V}/servers?${query}`, options);
  expect({ status, body }).toMatchObject({ status: 200 });
  return body.servers.map((one: { name: string }) => one.name);
};

beforeAll(async () => {
  edge = await startTestEdge();
  await edge.agent("one");
  image = await demoImage(edge.cloud);
  member = await tokenOf({ user: "m", project: DEMO_PROJECT, roles: ["member", "reader"] });
  await make("ant", { tags: ["a", "b"] });
  await make("bee", { tags: ["b"] });
  await make("gone");
  await ask("DELETE", `${V}/servers/${id.gone}`);
  await until(async () => (await ask("GET", `${V}/servers/${id.gone}`)).status === 404, "it is gone");
  await ask("POST", `${V}/servers/${id.bee}/action`, { body: { lock: null } });
});
afterAll(() => edge?.close());

describe("servers that are gone", () => {
  it.each([
    ["", ["bee", "ant"]],
    ["deleted=true", ["gone"]],
    ["deleted=1", ["gone"]],
    ["deleted=nonsense", ["bee", "ant"]],
    ["status=DELETED", ["gone"]],
    ["status=deleted&status=ACTIVE", ["bee", "ant"]],
    [`changes-since=${PAST}`, ["gone", "bee", "ant"]],
    [`changes-since=${PAST}&deleted=false`, ["bee", "ant"]],
    [`changes-before=${FUTURE}`, ["gone", "bee", "ant"]],
    [`changes-since=${FUTURE}`, []],
  ])("an admin's %j lists %j", async (query, wanted) => expect(await names(query)).toEqual(wanted));
  it.each([
    ["deleted=true", ["bee", "ant"]],
    [`changes-since=${PAST}`, ["gone", "bee", "ant"]],
  ])("another's %j lists %j", async (query, wanted) => {
    expect(await names(query, { token: member })).toEqual(wanted);
  });
  it("only admins may ask for by status", async () => {
    const { status, body } = await ask("GET", `${V}/servers?status=deleted`, { token: member });
    expect(status).toBe(403);
    expect(body.forbidden.message).toBe("Only administrators may list deleted instances");
  });
  it("say when they went, and count for nothing", async () => {
    const [gone] = (await ask("GET", `${V}/servers/detail?deleted=true`)).body.servers;
    expect(gone).toMatchObject({
      id: id.gone,
      status: "DELETED",
      "OS-EXT-STS:vm_state": "deleted",
      "OS-SRV-USG:terminated_at": expect.stringMatching(/^[^Z]*\.\d{6}$/),
    });
    expect((await ask("GET", `${V}/limits`)).body.limits.absolute.totalInstancesUsed).toBe(2);
  });
});

describe("a filter", () => {
  it.each([
    ["ip6", 5],
    ["tags", 26],
    ["not-tags", 26],
    ["changes-before", 66],
    ["locked", 73],
  ])("%s is looked at from 2.%i on", async (filter, since) => {
    const nothing: Record<string, string> = {
      "not-tags": "b",
      "changes-before": PAST,
      locked: "true",
      ip6: "::",
      tags: "x",
    };
    const query = `name=ant&${filter}=${nothing[filter]}`;
    expect(await names(query, { minor: since - 1 })).toEqual(["ant"]);
    expect(await names(query, { minor: since })).toEqual([]);
  });
  it.each([
    ["vm_state=stopped", 83],
    ["user_id=nobody", 83],
    ["hostname=nothing", 90],
  ])("%s is others' from 2.%i on, and dropped unsaid before", async (query, since) => {
    expect(await names(query, { token: member, minor: since - 1 })).toEqual(["bee", "ant"]);
    expect(await names(query, { token: member, minor: since })).toEqual([]);
    expect(await names(query, { minor: since - 1 })).toEqual([]);
  });
  it("that is for admins is dropped unsaid of others", async () => {
    expect(await names("host=two&node=two", { token: member })).toEqual(["bee", "ant"]);
    expect(await names("host=two")).toEqual([]);
  });
  it.each([
    ["tags=a,b", ["ant"]],
    ["tags-any=a,b", ["bee", "ant"]],
    ["not-tags=a,b", ["bee"]],
    ["not-tags-any=a,x", ["bee"]],
    ["locked=True", ["bee"]],
    ["locked=no", ["ant"]],
    ["key_name=.", []],
    // Where it is, though none was asked for.
    ["availability_zone=nova", ["bee", "ant"]],
    ["availability_zone=west", []],
    ["display_name=^b", ["bee"]],
    ["config_drive=true", ["bee", "ant"]],
    ["status=SHUTOFF&status=nonsense", []],
    ["power_state=1", ["bee", "ant"]],
  ])("%s lists %j", async (query, wanted) => expect(await names(query)).toEqual(wanted));
  it.each([
    ["locked=perhaps", "It is not a boolean."],
    [`changes-since=${FUTURE}&changes-before=${PAST}`, "must be less than or equal to changes-before."],
    ["status=nonsense", "Invalid status value"],
    ["availability_zone=(", "It is no regular expression."],
  ])("%s is 400", async (query, message) => {
    const { status, body } = await ask("GET", `${V}/servers?${query}`);
    expect(status).toBe(400);
    expect(body.badRequest.message).toContain(message);
  });
  it.each(["_x", "metadata", "block_device_mapping"])("%s is none, which an admin is told", async (name) => {
    const { status, body } = await ask("GET", `${V}/servers?${name}=1`, { minor: 74 });
    expect(status).toBe(400);
    expect(body.badRequest.message).toBe(`Invalid filter field: ${name}.`);
    expect(await names(`${name}=1`, { minor: 74, token: member })).toEqual(["bee", "ant"]);
  });
});

describe("a parameter that nobody knows", () => {
  it("is ignored up to 2.74, and refused from 2.75 on", async () => {
    expect(await names("nonsense=1", { minor: 74 })).toEqual(["bee", "ant"]);
    const { status, body } = await ask("GET", `${V}/servers?nonsense=1`, { minor: 75 });
    expect(status).toBe(400);
    expect(body.badRequest.message).toBe("Additional properties are not allowed ('nonsense' was unexpected)");
  });
  it("instance_name is one from 2.75 on", async () => {
    expect(await names("instance_name=instance-", { minor: 74 })).toEqual(["bee", "ant"]);
    expect((await ask("GET", `${V}/servers?instance_name=x`, { minor: 75 })).status).toBe(400);
  });
});

describe("order", () => {
  it.each([
    ["sort_key=display_name&sort_dir=asc", ["ant", "bee"]],
    ["sort_key=display_name", ["bee", "ant"]],
    ["sort_key=vm_state&sort_key=display_name&sort_dir=asc", ["ant", "bee"]],
    ["sort_key=locked&sort_dir=desc", ["bee", "ant"]],
    ["sort_key=host&sort_key=created_at&sort_dir=asc", ["ant", "bee"]],
  ])("%s is %j", async (query, wanted) => expect(await names(query)).toEqual(wanted));
  it.each([
    ["sort_key=memory_mb", "sort_key. Value: memory_mb."],
    ["sort_key=nonsense", "sort_key. Value: nonsense."],
    ["sort_key=uuid&sort_dir=asc&sort_dir=desc", "Sort direction size exceeds sort key size"],
  ])("%s is 400", async (query, message) => {
    const { status, body } = await ask("GET", `${V}/servers?${query}`, { minor: 75 });
    expect(status).toBe(400);
    expect(body.badRequest.message).toContain(message);
  });
  it("by a column that Nova only pretends to sort by is ignored up to 2.74; locked is one up to 2.72", async () => {
    expect(await names("sort_key=memory_mb", { minor: 74 })).toEqual(["bee", "ant"]);
    const query = "sort_key=locked&sort_key=created_at&sort_dir=asc";
    expect(await names(query, { minor: 72 })).toEqual(["ant", "bee"]);
    expect(await names("sort_key=locked&sort_dir=asc", { minor: 73 })).toEqual(["ant", "bee"]);
  });
  it("by host is for admins", async () => {
    expect((await ask("GET", `${V}/servers?sort_key=host`, { token: member })).status).toBe(403);
  });
});

describe("all projects", () => {
  it("are for admins", async () => {
    const index = await ask("GET", `${V}/servers?all_tenants=1`, { token: member });
    expect(index).toMatchObject({ status: 403 });
    expect(index.body.forbidden.message).toContain("os_compute_api:servers:index:get_all_tenants");
    const detail = await ask("GET", `${V}/servers/detail?all_tenants=1`, { token: member });
    expect(detail.body.forbidden.message).toContain("os_compute_api:servers:detail:get_all_tenants");
    expect(await names("all_tenants=0", { token: member })).toEqual(["bee", "ant"]);
  });
  it("or one of them", async () => {
    expect(await names("all_tenants=1")).toEqual(["bee", "ant"]);
    expect(await names("all_tenants=1&project_id=0123")).toEqual([]);
    expect(await names(`all_tenants=1&tenant_id=${DEMO_PROJECT}`)).toEqual(["bee", "ant"]);
    // Without all_tenants it is overridden.
    expect(await names("tenant_id=0123")).toEqual(["bee", "ant"]);
  });
  it("are paged as one", async () => {
    expect(await names("all_tenants=1&limit=1")).toEqual(["bee"]);
    expect(await names(`all_tenants=1&limit=1&marker=${id.bee}`)).toEqual(["ant"]);
    expect(await names(`all_tenants=1&marker=${id.gone}`)).toEqual(["bee", "ant"]);
    expect((await ask("GET", `${V}/servers?all_tenants=1&marker=nobody`)).status).toBe(400);
  });
});
