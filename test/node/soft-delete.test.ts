/** Deleted servers that are kept for a time (nova: reclaim_instance_interval). */
import { afterAll, beforeAll, expect, it } from "vitest";
import { ask as askEdge, DEMO_PROJECT, demoImage, startTestEdge, type TestEdge, until } from "../edge.ts";

const V = "/compute/v2.1";
let edge: TestEdge;
let image: string;

beforeAll(async () => {
  edge = await startTestEdge({ RECLAIM_INSTANCE_INTERVAL: "3", QUOTA_INSTANCES: "1" });
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
