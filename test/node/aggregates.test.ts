/** Host aggregates and the zones they make (aggregates.py, availability_zones.py, availability_zone_filter.py). */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ask, type CallOptions, demoImage, startTestEdge, type TestEdge } from "../edge.ts";
import { tokenOf } from "../tokens.ts";

const V = "/compute/v2.1";

let edge: TestEdge;
let image: string;

beforeAll(async () => {
  edge = await startTestEdge();
  for (const host of ["one", "two"]) await edge.agent(host);
  image = await demoImage(edge.cloud);
});
afterAll(() => edge?.close());

const call = (method: string, path: string, body?: unknown, options: CallOptions = {}) =>
  ask(edge, method, `${V}/os-aggregates${path}`, { ...options, body });
const act = (id: number, action: object) => call("POST", `/${id}/action`, action);
async function create(name: string, availability_zone: string | null = null): Promise<number> {
  return (await call("POST", "", { aggregate: { name, availability_zone } })).body.aggregate.id;
}
async function zoneOf(host: string): Promise<string> {
  return (await ask(edge, "GET", `${V}/os-services?host=${host}`)).body.services[0].zone;
}

describe("an aggregate", () => {
  it("is made, shown, renamed, listed and deleted; it has a uuid from 2.41 on", async () => {
    const made = await call("POST", "", { aggregate: { name: "fast", availability_zone: "z1" } }, { minor: 40 });
    const { id } = made.body.aggregate;
    const brief = {
      id: expect.any(Number),
      name: "fast",
      availability_zone: "z1",
      created_at: expect.stringMatching(/^[^Z]*\.\d{6}$/),
      updated_at: null,
      deleted_at: null,
      deleted: false,
    };
    expect([made.status, made.body]).toEqual([200, { aggregate: brief }]);
    const full = { ...brief, hosts: [], metadata: { availability_zone: "z1" } };
    expect((await call("GET", `/${id}`, undefined, { minor: 1 })).body).toEqual({ aggregate: full });
    expect((await call("GET", "")).body.aggregates).toEqual([
      { ...full, uuid: expect.stringMatching(/^[0-9a-f-]{36}$/) },
    ]);
    const renamed = await call("PUT", `/${id}`, { aggregate: { name: "faster" } });
    expect(renamed.body.aggregate).toMatchObject({
      name: "faster",
      availability_zone: "z1",
      updated_at: expect.any(String),
    });
    expect((await call("DELETE", `/${id}`)).status).toBe(200);
    const gone = await call("GET", `/${id}`);
    expect([gone.status, gone.body.itemNotFound.message]).toEqual([404, `Aggregate ${id} could not be found.`]);
  });
  it("has metadata, whose zone is its zone; null takes a key away", async () => {
    const id = await create("meta");
    const set = await act(id, { set_metadata: { metadata: { ssd: "true", availability_zone: "z2" } } });
    expect(set.body.aggregate).toMatchObject({
      availability_zone: "z2",
      metadata: { ssd: "true", availability_zone: "z2" },
    });
    const unset = await act(id, { set_metadata: { metadata: { ssd: null, availability_zone: null } } });
    expect(unset.body.aggregate).toMatchObject({ availability_zone: null, metadata: {} });
    await call("DELETE", `/${id}`);
  });
  it("has hosts, and is not deleted with them", async () => {
    const id = await create("hosts");
    const added = await act(id, { add_host: { host: "one" } });
    expect([added.status, added.body.aggregate.hosts]).toEqual([200, ["one"]]);
    const words = async (action: object) => {
      const { status, body } = await act(id, action);
      return [status, Object.values<{ message: string }>(body)[0]?.message];
    };
    expect(await words({ add_host: { host: "one" } })).toEqual([409, `Aggregate ${id} already has host one.`]);
    expect(await words({ add_host: { host: "no" } })).toEqual([404, "Compute host no could not be found."]);
    expect(await words({ remove_host: { host: "two" } })).toEqual([404, `Aggregate ${id} has no host two.`]);
    const refused = await call("DELETE", `/${id}`);
    expect([refused.status, refused.body.badRequest.message]).toEqual([
      400,
      `Cannot remove host from aggregate ${id}. Reason: Host aggregate is not empty.`,
    ]);
    expect((await act(id, { remove_host: { host: "one" } })).body.aggregate.hosts).toEqual([]);
    expect((await call("DELETE", `/${id}`)).status).toBe(200);
  });
  it("has a name of its own: 409", async () => {
    const [a, b] = [await create("a"), await create("b")];
    const twice = await call("POST", "", { aggregate: { name: "a" } });
    expect([twice.status, twice.body.conflictingRequest.message]).toEqual([409, "Aggregate a already exists."]);
    expect((await call("PUT", `/${b}`, { aggregate: { name: "a" } })).status).toBe(409);
    for (const id of [a, b]) await call("DELETE", `/${id}`);
  });
  it.each([
    ["POST", "", { aggregate: { name: "" } }, 400],
    ["POST", "", { aggregate: { name: "x", availability_zone: "" } }, 400],
    ["POST", "", { aggregate: { name: "x", availability_zone: "a:b" } }, 400],
    ["POST", "", { aggregate: { name: "x", other: 1 } }, 400],
    ["PUT", "/99", { aggregate: {} }, 400],
    ["PUT", "/99", { aggregate: { availability_zone: "" } }, 400],
    ["PUT", "/99", { aggregate: { name: "x" } }, 404],
    ["GET", "/fast", undefined, 400],
    ["GET", "/99", undefined, 404],
    ["DELETE", "/99", undefined, 404],
    ["POST", "/99/action", { add_host: { host: "one" } }, 404],
    ["POST", "/99/action", { set_metadata: { metadata: { availability_zone: "a:b" } } }, 400],
    ["POST", "/99/action", { set_metadata: { metadata: { a: 1 } } }, 400],
    ["POST", "/99/action", { fly: {} }, 400],
  ])("%s %s %j is %i", async (method, path, body, status) => {
    expect((await call(method, path, body)).status).toBe(status);
  });
});

describe("a zone", () => {
  let east: number;
  beforeAll(async () => {
    east = await create("east hosts", "east");
    await act(east, { add_host: { host: "two" } });
  });
  const boot = (availability_zone?: string) => {
    const server = { name: "a", imageRef: image, flavorRef: "1", networks: "none" };
    return ask(edge, "POST", `${V}/servers`, {
      body: { server: { ...server, ...(availability_zone ? { availability_zone } : {}) } },
    });
  };

  it("is its hosts', and one more in the list", async () => {
    expect([await zoneOf("one"), await zoneOf("two")]).toEqual(["nova", "east"]);
    const { availabilityZoneInfo } = (await ask(edge, "GET", `${V}/os-availability-zone/detail`)).body;
    expect(availabilityZoneInfo).toMatchObject([
      { zoneName: "east", hosts: { two: {} } },
      { zoneName: "nova", hosts: { one: {} } },
    ]);
  });
  it("takes the servers that ask for it, and shows on those that did not ask", async () => {
    const made = [await boot("east"), await boot("east"), await boot("nova"), await boot("nova")];
    for (const [i, zone] of ["east", "east", "nova", "nova"].entries()) {
      const { id } = made[i]!.body.server;
      await edge.cloud.built(id, 20_000);
      const { server } = (await ask(edge, "GET", `${V}/servers/${id}`)).body;
      expect([server["OS-EXT-AZ:availability_zone"], server["OS-EXT-SRV-ATTR:host"]]).toEqual([
        zone,
        zone === "east" ? "two" : "one",
      ]);
    }
    const anywhere = (await boot()).body.server.id;
    await edge.cloud.built(anywhere, 20_000);
    const { server } = (await ask(edge, "GET", `${V}/servers/${anywhere}`)).body;
    expect(server["OS-EXT-AZ:availability_zone"]).toBe(await zoneOf(server["OS-EXT-SRV-ATTR:host"]));
    const refused = await boot("west");
    expect([refused.status, refused.body.badRequest.message]).toEqual([
      400,
      "The requested availability zone is not available",
    ]);
  });
  it("does not change under servers, and no host is in two", async () => {
    const inUse = "One or more hosts contain instances in this zone";
    const words = (answer: Awaited<ReturnType<typeof call>>) => [answer.status, JSON.stringify(answer.body)];
    expect(words(await act(east, { remove_host: { host: "two" } }))).toEqual([409, expect.stringContaining(inUse)]);
    expect(words(await act(east, { add_host: { host: "one" } }))).toEqual([409, expect.stringContaining(inUse)]);
    const moved = { aggregate: { availability_zone: "west" } };
    expect(words(await call("PUT", `/${east}`, moved))).toEqual([400, expect.stringContaining(inUse)]);
    const unset = { set_metadata: { metadata: { availability_zone: null } } };
    expect(words(await act(east, unset))).toEqual([400, expect.stringContaining(inUse)]);
    const west = await create("west hosts", "west");
    const twice = "One or more hosts already in availability zone(s) east";
    expect(words(await act(west, { add_host: { host: "two" } }))).toEqual([409, expect.stringContaining(twice)]);
    expect((await call("PUT", `/${east}`, { aggregate: { name: "the east" } })).status).toBe(200);
  });
});

it("is for admins", async () => {
  const token = await tokenOf();
  for (const [method, path, body] of [
    ["GET", "", undefined],
    ["GET", "/1", undefined],
    ["POST", "", { aggregate: { name: "x" } }],
    ["PUT", "/1", { aggregate: { name: "x" } }],
    ["DELETE", "/1", undefined],
    ["POST", "/1/action", { add_host: { host: "one" } }],
  ] as const) {
    expect((await call(method, path, body, { token })).status).toBe(403);
  }
});
