/** Metadata, tags, name, lock and the record of actions: what an owner changes without touching the guest. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ask as askEdge, type CallOptions, demoImage, startTestEdge, type TestEdge, until } from "../edge.ts";

const V = "/compute/v2.1";
const NOBODY = "00000000-0000-4000-8000-000000000000";

let edge: TestEdge;
let image: string;
let server: string;

beforeAll(async () => {
  edge = await startTestEdge();
  await edge.agent("one");
  image = await demoImage(edge.cloud);
  server = await edge.cloud.createServer("first", image, "1");
  await edge.cloud.built(server, 20_000);
});
afterAll(() => edge?.close());

const ask = (method: string, path: string, body?: unknown, options: CallOptions = {}) =>
  askEdge(edge, method, `${V}/servers/${server}${path}`, { ...options, body });

describe("metadata (server_metadata.py)", () => {
  it("is merged by POST, replaced by PUT, and shown on the server and in lists", async () => {
    expect(await ask("PUT", "/metadata", { metadata: { a: "1" } })).toMatchObject({ status: 200 });
    const merged = await ask("POST", "/metadata", { metadata: { b: "2" } });
    expect([merged.status, merged.body]).toEqual([200, { metadata: { a: "1", b: "2" } }]);
    expect((await ask("GET", "/metadata")).body).toEqual({ metadata: { a: "1", b: "2" } });
    expect((await ask("GET", "")).body.server.metadata).toEqual({ a: "1", b: "2" });
    const listed = async () => (await (await edge.call("GET", `${V}/servers/detail`)).json()).servers[0].metadata;
    await until(async () => (await listed()).b === "2", "the list shows it");
    expect((await ask("PUT", "/metadata", { metadata: {} })).body).toEqual({ metadata: {} });
  });
  it("has items of its own", async () => {
    expect((await ask("PUT", "/metadata/k", { meta: { k: "v" } })).body).toEqual({ meta: { k: "v" } });
    expect((await ask("GET", "/metadata/k")).body).toEqual({ meta: { k: "v" } });
    expect((await ask("DELETE", "/metadata/k")).status).toBe(204);
    expect((await ask("GET", "/metadata/k")).status).toBe(404);
    expect((await ask("DELETE", "/metadata/k")).status).toBe(404);
    expect((await ask("GET", "/metadata/constructor")).status).toBe(404);
  });
  it.each([
    ["PUT", "/metadata/k", { meta: { other: "v" } }, 400],
    ["PUT", "/metadata/k", { meta: { k: "v", l: "w" } }, 400],
    ["PUT", "/metadata/k", { metadata: { k: "v" } }, 400],
    ["POST", "/metadata", { metadata: { k: 7 } }, 400],
    ["POST", "/metadata", { metadata: { "a/b": "7" } }, 400],
    ["POST", "/metadata", { metadata: { k: "v".repeat(256) } }, 400],
  ])("%s %s %j is %i", async (method, path, body, status) => {
    expect((await ask(method, path, body)).status).toBe(status);
  });
  it("has a limit: 403", async () => {
    const items = (from: number) => Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`k${from + i}`, "v"]));
    expect((await ask("PUT", "/metadata", { metadata: items(0) })).status).toBe(200);
    const over = await ask("POST", "/metadata", { metadata: items(100) });
    expect([over.status, over.body.forbidden.message]).toEqual([403, "Maximum number of metadata items exceeds 128"]);
    await ask("PUT", "/metadata", { metadata: {} });
  });
});

describe("tags (server_tags.py)", () => {
  it("are replaced, added, asked for and deleted", async () => {
    expect((await ask("PUT", "/tags", { tags: ["a", "b"] })).body).toEqual({ tags: ["a", "b"] });
    const added = await ask("PUT", "/tags/c");
    expect([added.status, added.headers.get("location")]).toEqual([201, `${edge.url}${V}/servers/${server}/tags/c`]);
    expect((await ask("PUT", "/tags/c")).status).toBe(204);
    expect((await ask("GET", "/tags/c")).status).toBe(204);
    expect((await ask("GET", "/tags/d")).status).toBe(404);
    expect((await ask("DELETE", "/tags/a")).status).toBe(204);
    expect((await ask("DELETE", "/tags/a")).status).toBe(404);
    expect((await ask("GET", "/tags")).body).toEqual({ tags: ["b", "c"] });
    expect((await ask("DELETE", "/tags")).status).toBe(204);
    expect((await ask("GET", "/tags")).body).toEqual({ tags: [] });
  });
  it("are 404 before 2.26", async () => expect((await ask("GET", "/tags", undefined, { minor: 25 })).status).toBe(404));
  it("are at most 50, of at most 60 characters, without commas: 400", async () => {
    const tags = Array.from({ length: 50 }, (_, i) => `t${i}`);
    expect((await ask("PUT", "/tags", { tags: [...tags, "over"] })).status).toBe(400);
    expect((await ask("PUT", "/tags", { tags })).status).toBe(200);
    expect((await ask("PUT", "/tags/over")).status).toBe(400);
    expect((await ask("PUT", `/tags/${"x".repeat(61)}`)).status).toBe(400);
    expect((await ask("PUT", "/tags/a%2Cb")).status).toBe(400);
    await ask("DELETE", "/tags");
  });
});

describe("PUT /servers/{id}", () => {
  it("changes the name and the description, and answers with the core of the view", async () => {
    const { status, body } = await ask("PUT", "", { server: { name: "renamed", description: "mine" } });
    expect(status).toBe(200);
    expect(body.server).toMatchObject({
      id: server,
      name: "renamed",
      description: "mine",
      "OS-DCF:diskConfig": "MANUAL",
    });
    expect(body.server).not.toHaveProperty(["OS-EXT-STS:vm_state"]);
    expect((await ask("GET", "")).body.server.name).toBe("renamed");
  });
  it.each([
    [{ server: { name: "" } }, 61],
    [{ server: { status: "ACTIVE" } }, 61],
    [{ server: { description: "x" } }, 18],
    [{}, 61],
  ])("refuses %j at 2.%i: 400", async (body, minor) => {
    expect((await ask("PUT", "", body, { minor })).status).toBe(400);
  });
});

describe("lock (lock_server.py)", () => {
  it("is shown, and does not hold an admin", async () => {
    expect((await ask("POST", "/action", { lock: null })).status).toBe(202);
    expect((await ask("GET", "")).body.server.locked).toBe(true);
    expect((await ask("POST", "/metadata", { metadata: { x: "y" } })).status).toBe(200);
    expect((await ask("POST", "/action", { unlock: null })).status).toBe(202);
    expect((await ask("GET", "")).body.server.locked).toBe(false);
  });
});

describe("os-instance-actions (instance_actions.py)", () => {
  it("records each action under its request, with its event and its end", async () => {
    const stopped = await ask("POST", "/action", { "os-stop": null });
    const request = stopped.headers.get("x-openstack-request-id");
    const shown = () => ask("GET", `/os-instance-actions/${request}`);
    await until(async () => (await shown()).body.instanceAction?.events[0]?.finish_time, "the action has ended");
    expect((await shown()).body.instanceAction).toMatchObject({
      action: "stop",
      instance_uuid: server,
      request_id: request,
      message: null,
      start_time: expect.stringMatching(/\.\d{6}$/),
      updated_at: expect.stringMatching(/\.\d{6}$/),
      events: [{ event: "compute_stop_instance", result: "Success", traceback: null }],
    });
    const { instanceActions } = (await ask("GET", "/os-instance-actions")).body;
    const names = instanceActions.map((one: { action: string }) => one.action);
    expect(names).toEqual(["stop", "unlock", "lock", "create"]);
  });
  it("pages from 2.58 on", async () => {
    const first = (await ask("GET", "/os-instance-actions?limit=1")).body;
    expect(first.instanceActions).toHaveLength(1);
    const next = new URL(first.links[0].href);
    const second = await (await edge.call("GET", `${next.pathname}${next.search}`)).json();
    expect(second.instanceActions[0].action).toBe("unlock");
    expect((await ask("GET", "/os-instance-actions?marker=req-x")).status).toBe(400);
    expect((await ask("GET", "/os-instance-actions?changes-since=never")).status).toBe(400);
    expect((await ask("GET", "/os-instance-actions?changes-since=2099-01-01T00:00:00Z")).body.instanceActions).toEqual(
      [],
    );
    const old = (await ask("GET", "/os-instance-actions?limit=1", undefined, { minor: 57 })).body.instanceActions;
    expect(old).toHaveLength(4);
    expect(old[0]).not.toHaveProperty("updated_at");
  });
  it("tells a failure as Error, and what was cut off too", async () => {
    const body = {
      server: { name: "x", imageRef: image, flavorRef: "1", networks: "none", availability_zone: "nova:no" },
    };
    const created = await edge.call("POST", `${V}/servers`, { body });
    const request = created.headers.get("x-openstack-request-id");
    const { id } = (await created.json()).server;
    const action = async () =>
      (await (await edge.call("GET", `${V}/servers/${id}/os-instance-actions/${request}`)).json()).instanceAction;
    await until(async () => (await action()).events[0]?.result === "Error", "the build has failed");
    expect(await action()).toMatchObject({ action: "create", message: "Error" });
    await edge.call("DELETE", `${V}/servers/${id}`);
    // From 2.21 on the record outlives the server.
    await until(async () => (await edge.call("GET", `${V}/servers/${id}`)).status === 404, "it is deleted");
    const left = await edge.call("GET", `${V}/servers/${id}/os-instance-actions`, { minor: 21 });
    expect((await left.json()).instanceActions.map((one: { action: string }) => one.action)).toEqual([
      "delete",
      "create",
    ]);
    expect((await edge.call("GET", `${V}/servers/${id}/os-instance-actions`, { minor: 20 })).status).toBe(404);
  });
  it("of what does not exist is 404", async () => {
    expect((await ask("GET", "/os-instance-actions/req-nothing")).status).toBe(404);
    expect((await edge.call("GET", `${V}/servers/${NOBODY}/os-instance-actions`)).status).toBe(404);
    expect((await edge.call("GET", `${V}/servers/${NOBODY}/metadata`)).status).toBe(404);
  });
});
