/** Shelving over HTTP, with the fake driver's real snapshots (nova/api/openstack/compute/shelve.py). */
import { afterAll, beforeAll, expect, it } from "vitest";
import { ask as askEdge, type CallOptions, demoImage, startTestEdge, type TestEdge, until } from "../edge.ts";
import { tokenOf } from "../tokens.ts";

const V = "/compute/v2.1";
let edge: TestEdge;
let image: string;

beforeAll(async () => {
  edge = await startTestEdge({ SHELVED_OFFLOAD_TIME: "-1" });
  await edge.agent("one");
  image = await demoImage(edge.cloud);
}, 60_000);
afterAll(() => edge.close());

const ask = (method: string, path: string, options: CallOptions = {}) => askEdge(edge, method, path, options);
const act = (id: string, body: unknown, options: CallOptions = {}) =>
  ask("POST", `${V}/servers/${id}/action`, { body, ...options });
const show = async (id: string) => (await ask("GET", `${V}/servers/${id}`)).body?.server;
const becomes = (id: string, status: string) =>
  until(async () => {
    const server = await show(id);
    return server?.["OS-EXT-STS:task_state"] === null && server.status === status && server;
  }, `it is ${status}`);
const names = async () => {
  const { images } = (await ask("GET", "/image/v2/images?visibility=private")).body;
  return images.map(({ name }: { name: string }) => name);
};

async function boot(name: string): Promise<string> {
  const id = await edge.cloud.createServer(name, image, "1");
  await edge.cloud.built(id, 20_000);
  return id;
}

it("a shelved server keeps its host until it is offloaded, and comes back from either", async () => {
  const id = await boot("books");
  expect((await act(id, { shelve: null })).status).toBe(202);
  expect(await becomes(id, "SHELVED")).toMatchObject({ "OS-EXT-SRV-ATTR:host": "one", "OS-EXT-STS:power_state": 4 });
  expect(await names()).toContain("books-shelved");
  const early = await act(id, { unshelve: { availability_zone: "nova" } }, { minor: 77 });
  expect(early.status).toBe(409);
  expect((await act(id, { unshelve: null })).status).toBe(202);
  await becomes(id, "ACTIVE");
  expect(await names()).not.toContain("books-shelved");

  await act(id, { shelve: null });
  await becomes(id, "SHELVED");
  expect((await act(id, { shelveOffload: null }, { token: await tokenOf() })).status).toBe(403);
  expect((await act(id, { shelveOffload: null })).status).toBe(202);
  expect(await becomes(id, "SHELVED_OFFLOADED")).toMatchObject({ "OS-EXT-SRV-ATTR:host": null, hostId: "" });
  const console = { remote_console: { protocol: "vnc", type: "novnc" } };
  expect((await ask("POST", `${V}/servers/${id}/remote-consoles`, { body: console })).status).toBe(409);
  expect((await act(id, { unshelve: { availability_zone: "mars" } }, { minor: 77 })).status).toBe(400);
  expect((await act(id, { unshelve: { host: "nowhere" } }, { minor: 91 })).status).toBe(400);
  expect((await act(id, { unshelve: { host: "one" } }, { minor: 91, token: await tokenOf() })).status).toBe(403);
  expect((await act(id, { unshelve: { host: "one", availability_zone: null } }, { minor: 91 })).status).toBe(202);
  expect(await becomes(id, "ACTIVE")).toMatchObject({ "OS-EXT-SRV-ATTR:host": "one", image: { id: image } });
  expect(await names()).not.toContain("books-shelved");
});

it.each([
  [{}, 91],
  [{ host: "one" }, 90],
  [{ availability_zone: null }, 90],
  [{ zone: "nova" }, 77],
])("unshelve %j is a 400 at 2.%i", async (unshelve, minor) => {
  expect((await act("00000000-0000-4000-8000-000000000000", { unshelve }, { minor })).status).toBe(400);
});
