/** Quota sets, quota classes and limits against Nova's rules, and quotas held under a crowd of creates. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CallOptions, demoImage, startTestEdge, type TestEdge, until } from "../edge.ts";
import { tokenOf } from "../tokens.ts";

const V = "/compute/v2.1";
const PROJECT = "6d0f4ac1b2f94d0f9d5c3c1a7e5b2a10";
const SET = `/os-quota-sets/${PROJECT}`;
const OTHER = "00000000000000000000000000000000";

let edge: TestEdge;
let image: string;
let tokens: Record<"reader" | "member" | "stranger" | "admin", string>;

beforeAll(async () => {
  edge = await startTestEdge();
  await edge.agent("large", { vcpus: 256, memory_mb: 262_144, local_gb: 4096 });
  image = await demoImage(edge.cloud);
  tokens = {
    reader: await tokenOf({ user: "r", project: PROJECT, roles: ["reader"] }),
    member: await tokenOf({ user: "m", project: PROJECT, roles: ["member", "reader"] }),
    stranger: await tokenOf({ user: "s", project: OTHER, roles: ["member", "reader"] }),
    admin: await tokenOf({ user: "a", project: OTHER, roles: ["admin"] }),
  };
});
afterAll(() => edge?.close());

async function ask(method: string, path: string, options: CallOptions = {}) {
  const response = await edge.call(method, `${V}${path}`, options);
  const text = await response.text();
  return { status: response.status, body: text === "" ? null : JSON.parse(text) };
}
const put = (limits: object, query = "", options: CallOptions = {}) =>
  ask("PUT", `${SET}${query}`, { ...options, body: { quota_set: limits } });
const create = (server: object = {}, options: CallOptions = {}) =>
  ask("POST", "/servers", {
    ...options,
    body: { server: { name: "x", imageRef: image, flavorRef: "1", networks: "none", ...server } },
  });
const ids = async (): Promise<string[]> =>
  (await ask("GET", "/servers")).body.servers.map((one: { id: string }) => one.id);
async function clear(): Promise<void> {
  for (const id of await ids()) await ask("DELETE", `/servers/${id}`);
  await until(async () => (await ids()).length === 0, "all servers are gone", 30_000);
  await ask("DELETE", SET);
}

const LEGACY = ["fixed_ips", "floating_ips", "security_groups", "security_group_rules"];
const FILES = ["injected_files", "injected_file_content_bytes", "injected_file_path_bytes"];
const GROUPS = ["server_groups", "server_group_members"];
const BASE = ["instances", "cores", "ram", "metadata_items", "key_pairs"];

describe("GET /os-quota-sets/{project} (quota_sets.py)", () => {
  it.each([
    [1, [...BASE, ...GROUPS, ...FILES, ...LEGACY]],
    [35, [...BASE, ...GROUPS, ...FILES, ...LEGACY]],
    [36, [...BASE, ...GROUPS, ...FILES]],
    [56, [...BASE, ...GROUPS, ...FILES]],
    [57, [...BASE, ...GROUPS]],
  ])("at 2.%i shows what that version has", async (minor, names) => {
    for (const path of [SET, `${SET}/detail`, `${SET}/defaults`]) {
      const { status, body } = await ask("GET", path, { minor });
      expect([status, body.quota_set.id]).toEqual([200, PROJECT]);
      expect(Object.keys(body.quota_set).sort()).toEqual(["id", ...names].sort());
    }
  });
  it("has Nova's defaults, and -1 for what has gone", async () => {
    expect((await ask("GET", SET, { minor: 1 })).body.quota_set).toEqual({
      id: PROJECT,
      instances: 10,
      cores: 20,
      ram: 51_200,
      metadata_items: 128,
      key_pairs: 100,
      server_groups: 10,
      server_group_members: 10,
      injected_files: 5,
      injected_file_content_bytes: 10_240,
      injected_file_path_bytes: 255,
      fixed_ips: -1,
      floating_ips: -1,
      security_groups: -1,
      security_group_rules: -1,
    });
  });
  it("shows what is used, and what still stands on a reservation", async () => {
    const cores = async () => (await ask("GET", `${SET}/detail`)).body.quota_set.cores;
    expect(await cores()).toEqual({ limit: 20, in_use: 0, reserved: 0 });
    const { body } = await create({ metadata: { "fake:spawn_ms": "0" } });
    const { in_use, reserved } = await cores();
    expect(in_use + reserved).toBe(1);
    await edge.cloud.built(body.server.id, 20_000);
    await until(async () => (await cores()).reserved === 0, "the reservation has become usage");
    expect(await cores()).toEqual({ limit: 20, in_use: 1, reserved: 0 });
    const mine = (await ask("GET", `${SET}/detail?user_id=nobody`)).body.quota_set.cores;
    expect(mine).toEqual({ limit: 20, in_use: 0, reserved: 0 });
    await clear();
  });
});

describe("PUT and DELETE /os-quota-sets/{project}", () => {
  it("answers the new set without an id, and DELETE goes back to the defaults: 202", async () => {
    const { status, body } = await put({ instances: "12", cores: -1 });
    expect(status).toBe(200);
    expect(body.quota_set).toMatchObject({ instances: 12, cores: -1, ram: 51_200 });
    expect(body.quota_set).not.toHaveProperty("id");
    expect((await ask("GET", `${SET}/defaults`)).body.quota_set.instances).toBe(10);
    expect(await ask("DELETE", SET)).toEqual({ status: 202, body: null });
    expect((await ask("GET", SET)).body.quota_set).toMatchObject({ instances: 10, cores: 20 });
  });
  it("keeps a user's set apart", async () => {
    expect((await put({ instances: 3 }, "?user_id=m")).body.quota_set.instances).toBe(3);
    expect((await ask("GET", `${SET}?user_id=m`)).body.quota_set.instances).toBe(3);
    expect((await ask("GET", SET)).body.quota_set.instances).toBe(10);
    expect((await ask("DELETE", `${SET}?user_id=m`)).status).toBe(202);
    expect((await ask("GET", `${SET}?user_id=m`)).body.quota_set.instances).toBe(10);
  });
  it.each([
    [{ nonsense: 1 }, 61, "Additional properties are not allowed ('nonsense' was unexpected)"],
    [{ fixed_ips: 1 }, 36, "'fixed_ips' was unexpected"],
    [{ injected_files: 1 }, 57, "'injected_files' was unexpected"],
    [{ instances: -2 }, 61, "attribute instances."],
    [{ instances: 2 ** 31 }, 61, "attribute instances."],
    [{ instances: "ten" }, 61, "attribute instances."],
    [{ instances: 1.5 }, 61, "attribute instances."],
    [{ instances: null }, 61, "attribute instances."],
    [{ force: "perhaps" }, 61, "attribute force."],
  ])("refuses %j at 2.%i: 400", async (limits, minor, message) => {
    const { status, body } = await put(limits, "", { minor });
    expect([status, body.badRequest?.message]).toEqual([400, expect.stringContaining(message)]);
  });
  it("takes the old networks' quotas while their versions last", async () => {
    expect((await put({ fixed_ips: 7 }, "", { minor: 35 })).body.quota_set.fixed_ips).toBe(7);
    expect((await put({ injected_files: 7 }, "", { minor: 56 })).body.quota_set.injected_files).toBe(7);
    await ask("DELETE", SET);
  });
  it("refuses less than is used, and more for a user than the project has, unless forced", async () => {
    await create({ min_count: 2, max_count: 2 });
    const low = await put({ instances: 1 });
    expect([low.status, low.body.badRequest.message]).toEqual([
      400,
      "Quota limit 1 for instances must be greater than or equal to already used and reserved 2.",
    ]);
    expect((await put({ instances: 1, force: "True" })).body.quota_set.instances).toBe(1);
    expect((await create()).body.forbidden.message).toBe(
      "Quota exceeded for instances: Requested 1, but already used 2 of 1 instances",
    );
    await ask("DELETE", SET);
    const high = await put({ cores: 21 }, "?user_id=m");
    expect([high.status, high.body.badRequest.message]).toEqual([
      400,
      "Quota limit 21 for cores must be less than or equal to 20.",
    ]);
    expect((await put({ cores: 21, force: true }, "?user_id=m")).status).toBe(200);
    await clear();
  });
  it("of a project that does not exist is 400", async () => {
    for (const [method, tail] of [
      ["GET", ""],
      ["GET", "/detail"],
      ["GET", "/defaults"],
      ["PUT", ""],
    ] as const) {
      const body = method === "PUT" ? { body: { quota_set: { cores: 1 } } } : {};
      const answer = await ask(method, `/os-quota-sets/${OTHER}${tail}`, body);
      expect([answer.status, answer.body.badRequest.message]).toEqual([
        400,
        `Project ID ${OTHER} is not a valid project.`,
      ]);
    }
  });
});

describe("who may (policies/quota_sets.py, quota_class_sets.py, limits.py)", () => {
  const CLASS = "/os-quota-class-sets/default";
  it.each([
    ["reader", "GET", SET, 200],
    ["reader", "GET", `${SET}/detail`, 200],
    ["reader", "GET", `${SET}/defaults`, 200],
    ["stranger", "GET", SET, 403],
    ["stranger", "GET", `${SET}/detail`, 403],
    ["stranger", "GET", `${SET}/defaults`, 200],
    ["admin", "GET", SET, 200],
    ["member", "PUT", SET, 403],
    ["member", "DELETE", SET, 403],
    ["member", "GET", CLASS, 403],
    ["member", "PUT", CLASS, 403],
    ["reader", "GET", "/limits", 200],
    ["reader", "GET", `/limits?tenant_id=${PROJECT}`, 200],
    ["stranger", "GET", `/limits?tenant_id=${PROJECT}`, 403],
    ["admin", "GET", `/limits?tenant_id=${PROJECT}`, 200],
  ] as const)("%s: %s %s is %i", async (who, method, path, expected) => {
    const body = method === "PUT" ? { body: { quota_set: {}, quota_class_set: {} } } : {};
    const { status, body: said } = await ask(method, path, { token: tokens[who], ...body });
    expect(status).toBe(expected);
    if (status === 403)
      expect(said.forbidden.message).toMatch(/^Policy doesn't allow os_compute_api:\S+ to be performed.$/);
  });
});

describe("/os-quota-class-sets/{class} (quota_classes.py)", () => {
  const path = "/os-quota-class-sets/default";
  it.each([
    [1, [...BASE, ...FILES, ...LEGACY]],
    [49, [...BASE, ...FILES, ...LEGACY]],
    [50, [...BASE, ...GROUPS, ...FILES]],
    [57, [...BASE, ...GROUPS]],
  ])("at 2.%i shows what that version has", async (minor, names) => {
    const { body } = await ask("GET", path, { minor });
    expect(Object.keys(body.quota_class_set).sort()).toEqual(["id", ...names].sort());
    expect(body.quota_class_set.id).toBe("default");
  });
  it("of the name default holds for every project at once; of another for none", async () => {
    const change = (name: string, limits: object) =>
      ask("PUT", `/os-quota-class-sets/${name}`, { body: { quota_class_set: limits } });
    const { status, body } = await change("default", { instances: 11 });
    expect([status, body.quota_class_set.instances]).toEqual([200, 11]);
    expect(body.quota_class_set).not.toHaveProperty("id");
    expect((await ask("GET", SET)).body.quota_set.instances).toBe(11);
    expect((await ask("GET", `${SET}/defaults`)).body.quota_set.instances).toBe(11);
    await change("gold", { instances: 12 });
    expect((await ask("GET", "/os-quota-class-sets/gold")).body.quota_class_set.instances).toBe(12);
    expect((await ask("GET", SET)).body.quota_set.instances).toBe(11);
    await change("default", { instances: 10 });
    expect((await change("default", { fixed_ips: 1 })).status).toBe(400);
  });
});

describe("GET /limits (limits.py, views/limits.py)", () => {
  const until35 = [
    "maxSecurityGroups",
    "maxSecurityGroupRules",
    "maxTotalFloatingIps",
    "totalSecurityGroupsUsed",
    "totalFloatingIpsUsed",
  ];
  const until56 = ["maxPersonality", "maxPersonalitySize"];
  it.each([
    [1, [...until35, "maxImageMeta", ...until56], []],
    [35, [...until35, "maxImageMeta", ...until56], []],
    [36, ["maxImageMeta", ...until56], until35],
    [38, ["maxImageMeta", ...until56], until35],
    [39, until56, [...until35, "maxImageMeta"]],
    [56, until56, [...until35, "maxImageMeta"]],
    [57, [], [...until35, "maxImageMeta", ...until56]],
  ])("at 2.%i has %j and not %j", async (minor, has, hasNot) => {
    const { status, body } = await ask("GET", "/limits?reserved=1", { minor });
    expect([status, body.limits.rate]).toEqual([200, []]);
    const names = Object.keys(body.limits.absolute);
    expect(names).toEqual(expect.arrayContaining(has));
    for (const name of hasNot) expect(names).not.toContain(name);
  });
  it("counts what is used", async () => {
    await put({ instances: 7 });
    await create({ flavorRef: "2" });
    expect((await ask("GET", "/limits")).body.limits.absolute).toEqual({
      maxTotalInstances: 7,
      maxTotalCores: 20,
      maxTotalRAMSize: 51_200,
      maxTotalKeypairs: 100,
      maxServerMeta: 128,
      maxServerGroups: 10,
      maxServerGroupMembers: 10,
      totalInstancesUsed: 1,
      totalCoresUsed: 1,
      totalRAMUsed: 2048,
      totalServerGroupsUsed: 0,
    });
    await clear();
  });
  it("of a project that does not exist is 400", async () => {
    expect((await ask("GET", `/limits?tenant_id=${OTHER}`)).status).toBe(400);
  });
});

describe("creating", () => {
  it("stops a user at their own limit, and fits max_count to it, while the project has more", async () => {
    await put({ instances: 2 }, "?user_id=m");
    const many = await create({ min_count: 1, max_count: 5 }, { token: tokens.member });
    expect(many.status).toBe(202);
    expect(await ids()).toHaveLength(2);
    const over = await create({ min_count: 1 }, { token: tokens.member });
    expect([over.status, over.body.forbidden.message]).toEqual([
      403,
      "Quota exceeded for instances: Requested 1, but already used 2 of 2 instances",
    ]);
    expect((await create()).status).toBe(202);
    await clear();
  });

  it("and writing later hold metadata to its quota", async () => {
    await put({ metadata_items: 2 });
    const { body } = await create({ metadata: { a: "1", b: "2" } });
    await edge.cloud.built(body.server.id, 20_000);
    const said = "Maximum number of metadata items exceeds 2";
    expect((await create({ metadata: { a: "1", b: "2", c: "3" } })).body.forbidden.message).toBe(said);
    const write = (metadata: object) => ask("POST", `/servers/${body.server.id}/metadata`, { body: { metadata } });
    expect((await write({ c: "3" })).body.forbidden.message).toBe(said);
    expect((await write({ b: "3" })).status).toBe(200);
    await put({ metadata_items: -1 });
    expect((await write({ c: "3" })).status).toBe(200);
    await clear();
  });

  it("is not stalled by a count that no cloud has", async () => {
    const many = 2 ** 31 - 1;
    const refused = await create({ min_count: many, max_count: many });
    expect([refused.status, refused.body.badRequest.message]).toEqual([
      400,
      "min_count must be at most 500: ask for the rest in another request",
    ]);
    await put({ instances: 3 });
    expect((await create({ min_count: 1, max_count: many })).status).toBe(202);
    expect(await ids()).toHaveLength(3);
    const over = await create({ min_count: 500, max_count: 500 });
    expect(over.body.forbidden.message).toMatch(/^Quota exceeded for cores, instances, ram: Requested 500, 500, /);
    await clear();
  });

  it("200 at once against a quota of 50: exactly 50 servers, and 150 clean 403s", { timeout: 90_000 }, async () => {
    await put({ instances: 50, cores: -1, ram: -1 });
    const started = Date.now();
    const answers = await Promise.all(Array.from({ length: 200 }, () => create()));
    const tally = new Map<number, number>();
    for (const { status } of answers) tally.set(status, (tally.get(status) ?? 0) + 1);
    expect([...tally].sort()).toEqual([
      [202, 50],
      [403, 150],
    ]);
    for (const { status, body } of answers) {
      if (status === 403)
        expect(body.forbidden.message).toMatch(/^Quota exceeded for instances: Requested 1, but already used 50 of 50/);
    }
    const active = async () => (await ask("GET", "/servers?status=ACTIVE")).body.servers.length;
    await until(async () => (await active()) === 50, "all 50 are active", 30_000);
    expect(Date.now() - started).toBeLessThan(30_000);
    const detail = (await ask("GET", `${SET}/detail`)).body.quota_set;
    await until(
      async () => (await ask("GET", `${SET}/detail`)).body.quota_set.instances.reserved === 0,
      "no reservation is left",
    );
    expect(detail.instances.limit).toBe(50);
    expect(await ids()).toHaveLength(50);
    await clear();
    expect((await ask("GET", "/limits")).body.limits.absolute.totalInstancesUsed).toBe(0);
  });
});
