/** What servers do by themselves when a time is over: go for good, be unrescued, be rebooted harder. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { ask as askEdge, DEMO_PROJECT, demoImage, startTestEdge, type TestEdge, until } from "../edge.ts";
import { rawHost } from "./raw-agent.ts";

const V = "/compute/v2.1";
let edge: TestEdge;
let image: string;

beforeAll(async () => {
  edge = await startTestEdge({
    RECLAIM_INSTANCE_INTERVAL: "3",
    RESCUE_TIMEOUT: "2",
    REBOOT_TIMEOUT: "2",
    QUOTA_INSTANCES: "1",
  });
  await edge.agent("one");
  image = await demoImage(edge.cloud);
}, 60_000);
afterAll(() => edge.close());

const ask = (method: string, path: string, body?: unknown) =>
  askEdge(edge, method, path, body === undefined ? {} : { body });
const statusOf = async (id: string) => (await ask("GET", `${V}/servers/${id}`)).body?.server?.status;
const becomes = (id: string, status: string | undefined) =>
  until(async () => (await statusOf(id)) === status, `it is ${status}`);
const instances = async () =>
  (await ask("GET", `${V}/os-quota-sets/${DEMO_PROJECT}/detail`)).body.quota_set.instances.in_use;

async function boot(): Promise<string> {
  const id = await edge.cloud.createServer("s", image, "1");
  await edge.cloud.built(id, 20_000);
  return id;
}

it("a deleted server is off and free of quota, can be restored, and goes for good when its time is over", async () => {
  const id = await boot();
  expect((await ask("DELETE", `${V}/servers/${id}`)).status).toBe(204);
  await becomes(id, "SOFT_DELETED");
  expect(await instances()).toBe(0);
  expect((await ask("DELETE", `${V}/servers/${id}`)).status).toBe(204);
  expect((await ask("POST", `${V}/servers/${id}/action`, { restore: null })).status).toBe(202);
  await becomes(id, "ACTIVE");
  expect(await instances()).toBe(1);
  await ask("DELETE", `${V}/servers/${id}`);
  await becomes(id, "SOFT_DELETED");
  await becomes(id, undefined);
  expect(await instances()).toBe(0);
});

it("restoring is held against the quota", async () => {
  const id = await boot();
  await ask("DELETE", `${V}/servers/${id}`);
  await becomes(id, "SOFT_DELETED");
  const second = await boot();
  const { status, body } = await ask("POST", `${V}/servers/${id}/action`, { restore: null });
  expect(status).toBe(403);
  expect(body.forbidden.message).toContain("Quota exceeded for instances");
  expect((await ask("POST", `${V}/servers/${id}/action`, { forceDelete: null })).status).toBe(202);
  await becomes(id, undefined);
  expect((await ask("POST", `${V}/servers/${second}/action`, { restore: null })).status).toBe(409);
  expect((await ask("POST", `${V}/servers/${second}/action`, { forceDelete: null })).status).toBe(202);
  await becomes(second, undefined);
});

it("a rescued server is unrescued when its time is over", async () => {
  const id = await boot();
  expect((await ask("POST", `${V}/servers/${id}/action`, { rescue: null })).status).toBe(200);
  await becomes(id, "RESCUE");
  await becomes(id, "ACTIVE");
  await ask("POST", `${V}/servers/${id}/action`, { forceDelete: null });
  await becomes(id, undefined);
});

it("a reboot that its host does not answer becomes a hard one", async () => {
  const raw = await rawHost(edge, "raw");
  const link = await raw.link();
  const done = { ok: true, value: { power_state: 1 } } as const;
  const reboots: unknown[] = [];
  link.onCall = ({ method, params }) => {
    if (method !== "reboot") return method === "destroy" ? { ok: true, value: {} } : done;
    reboots.push(params);
    return reboots.length === 1 ? null : done;
  };
  const server = { name: "s", imageRef: image, flavorRef: "1", networks: "none", availability_zone: "nova:raw" };
  const id = (await ask("POST", `${V}/servers`, { server })).body.server.id;
  await edge.cloud.built(id, 20_000);
  expect((await ask("POST", `${V}/servers/${id}/action`, { reboot: { type: "SOFT" } })).status).toBe(202);
  await becomes(id, "REBOOT");
  await becomes(id, "ACTIVE");
  expect(reboots).toEqual([{ type: "SOFT" }, { type: "HARD" }]);
  raw.close();
});
