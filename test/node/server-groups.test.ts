/** Server groups (server_groups.py), and that their policies hold (scheduler/filters/affinity_filter.py). */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ask, type CallOptions, DEMO_PROJECT, demoImage, startTestEdge, type TestEdge, until } from "../edge.ts";
import { tokenOf } from "../tokens.ts";

const V = "/compute/v2.1";
const ADMIN = "0c7a1d9e54f84f6ab3b8c2f6f2d4e901";
const NOBODY = "00000000-0000-4000-8000-000000000000";
const HOSTS = ["one", "two", "three", "four", "five"];

let edge: TestEdge;
let image: string;

beforeAll(async () => {
  edge = await startTestEdge({
    QUOTA_INSTANCES: "20",
    QUOTA_SERVER_GROUPS: "4",
    QUOTA_SERVER_GROUP_MEMBERS: "6",
    // Fewer than the hosts: a group's builds at once must find each other all the same.
    MAX_ATTEMPTS: "2",
    SOFT_AFFINITY_WEIGHT_MULTIPLIER: "10",
  });
  for (const host of HOSTS) await edge.agent(host);
  image = await demoImage(edge.cloud);
});
afterAll(() => edge?.close());

const call = (method: string, path: string, body?: unknown, options: CallOptions = {}) =>
  ask(edge, method, `${V}/os-server-groups${path}`, { ...options, body });
const create = (server_group: object, options: CallOptions = {}) => call("POST", "", { server_group }, options);
const remove = (id: string) => call("DELETE", `/${id}`);

/** Asks for servers in a group, waits, and returns their hosts; null for one that found none. */
async function boot(group: string, count = 1): Promise<(string | null)[]> {
  const server = { name: "m", imageRef: image, flavorRef: "1", networks: "none", min_count: count, max_count: count };
  const body = { server: { ...server, return_reservation_id: false }, "os:scheduler_hints": { group } };
  const made = await ask(edge, "POST", `${V}/servers`, { body });
  expect(made.status, JSON.stringify(made.body)).toBe(202);
  const { members } = (await call("GET", `/${group}`)).body.server_group;
  await Promise.all(members.map((id: string) => edge.cloud.built(id, 20_000)));
  const shown = members.map(async (id: string) => (await ask(edge, "GET", `${V}/servers/${id}`)).body.server);
  return (await Promise.all(shown)).map((one) => one["OS-EXT-SRV-ATTR:host"]);
}

/** Deletes a group with its members. */
async function clear(group: string): Promise<void> {
  for (const id of (await call("GET", `/${group}`)).body.server_group.members) {
    await ask(edge, "DELETE", `${V}/servers/${id}`);
  }
  await until(
    async () => (await call("GET", `/${group}`)).body.server_group.members.length === 0,
    "no members are left",
  );
  expect((await remove(group)).status).toBe(204);
}

describe("a group", () => {
  it("is made, shown, listed and deleted", async () => {
    const made = await create({ name: "g", policies: ["anti-affinity"] });
    const { id } = made.body.server_group;
    const group = { id, name: "g", policies: ["anti-affinity"], metadata: {}, members: [] };
    const owner = { project_id: DEMO_PROJECT, user_id: ADMIN };
    expect([made.status, made.body.server_group]).toEqual([200, { ...group, ...owner }]);
    expect((await call("GET", `/${id}`, undefined, { minor: 12 })).body.server_group).toEqual(group);
    expect((await call("GET", "")).body.server_groups).toEqual([{ ...group, ...owner }]);
    expect((await remove(id)).status).toBe(204);
    const gone = await remove(id);
    expect([gone.status, gone.body.itemNotFound.message]).toEqual([404, `Instance group ${id} could not be found.`]);
    expect((await call("GET", `/${id}`)).status).toBe(404);
  });
  it.each([
    [61, { name: "g" }],
    [61, { name: "g", policies: [] }],
    [61, { name: "g", policies: ["affinity", "anti-affinity"] }],
    [61, { name: "g", policies: ["legacy"] }],
    [14, { name: "g", policies: ["soft-affinity"] }],
    [61, { name: "", policies: ["affinity"] }],
    [61, { name: "g", policy: "affinity" }],
    [61, { name: "g", policies: ["affinity"], other: 1 }],
  ])("at 2.%i is not %j: 400", async (minor, group) => {
    expect((await create(group, { minor })).status).toBe(400);
  });
  it("is its project's; an admin sees others' too, and lists them when asked", async () => {
    const project = "7".repeat(32);
    const token = await tokenOf({ project });
    const { id } = (await create({ name: "theirs", policies: ["affinity"] }, { token })).body.server_group;
    expect((await call("GET", `/${id}`, undefined, { token: await tokenOf() })).status).toBe(404);
    expect((await call("GET", "?all_projects=true", undefined, { token: await tokenOf() })).body.server_groups).toEqual(
      [],
    );
    expect(
      (await call("DELETE", `/${id}`, undefined, { token: await tokenOf({ project, roles: ["reader"] }) })).status,
    ).toBe(403);
    expect((await call("DELETE", `/${id}`, undefined, { token })).status).toBe(204);
  });
  it("is limited: 403; pages go by offset, and a limit of 0 is none", async () => {
    const made = [];
    for (const name of ["a", "b", "c", "d"])
      made.push((await create({ name, policies: ["affinity"] })).body.server_group.id);
    const refused = await create({ name: "e", policies: ["affinity"] });
    expect([refused.status, refused.body.forbidden.message]).toEqual([403, "Quota exceeded, too many server groups."]);
    const names = async (query: string) =>
      (await call("GET", query)).body.server_groups.map((one: { name: string }) => one.name);
    expect(await names("?limit=2&offset=1")).toEqual(["b", "c"]);
    expect(await names("?limit=0&offset=3")).toEqual(["d"]);
    expect(await names("?all_projects")).toHaveLength(4);
    expect((await call("GET", "?limit=-1")).status).toBe(400);
    for (const id of made) await remove(id);
  });
});

describe("a server's hint", () => {
  const hinted = (group: unknown) =>
    ask(edge, "POST", `${V}/servers`, {
      body: {
        server: { name: "x", imageRef: image, flavorRef: "1", networks: "none" },
        "OS-SCH-HNT:scheduler_hints": { group },
      },
    });
  it.each([
    [NOBODY, `Instance group ${NOBODY} could not be found.`],
    ["no-uuid", "attribute group."],
    [7, "attribute group."],
  ])("%j names no group: 400", async (group, words) => {
    const { status, body } = await hinted(group);
    expect([status, body.badRequest.message]).toEqual([400, expect.stringContaining(words)]);
  });
  it("puts it among the members, as many as the quota lets in, until it is deleted", { timeout: 30_000 }, async () => {
    const { id } = (await create({ name: "soft", policies: ["soft-affinity"] })).body.server_group;
    const first = await boot(id, 2);
    const both = await boot(id, 4);
    expect(both).toHaveLength(6);
    // Which host comes first is the RAM's to say; the group follows whom it can see there.
    expect(new Set(both).size).toBeLessThanOrEqual(new Set(first).size + 1);
    const refused = await hinted(id);
    expect([refused.status, refused.body.forbidden.message]).toEqual([
      403,
      "Quota exceeded, too many servers in group",
    ]);
    await clear(id);
  });
});

describe("policies", () => {
  it("anti-affinity: each on a host of its own, and none where there is none left", { timeout: 30_000 }, async () => {
    const { id } = (await create({ name: "apart", policies: ["anti-affinity"] })).body.server_group;
    expect((await boot(id, 5)).sort()).toEqual([...HOSTS].sort());
    expect((await boot(id)).filter((host) => host === null)).toHaveLength(1);
    await clear(id);
  });
  it("affinity: all on one host, however many come at once", { timeout: 30_000 }, async () => {
    const { id } = (await create({ name: "together", policies: ["affinity"] })).body.server_group;
    const hosts = await boot(id, 6);
    expect(hosts).toEqual(Array(6).fill(hosts[0]));
    expect(hosts[0]).not.toBeNull();
    await clear(id);
  });
});
