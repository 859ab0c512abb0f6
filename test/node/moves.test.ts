/** Servers that move between two agents, through the API: what an operator asks for, and where it ends. */
import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import { ask as askEdge, type CallOptions, demoImage, startTestEdge, type TestEdge, until } from "../edge.ts";

import { askSession, screenOf, tokenIn, typeOn } from "../page-session.ts";

const V = "/compute/v2.1";

let edge: TestEdge;
let image: string;
beforeAll(async () => {
  edge = await startTestEdge({ QUOTA_INSTANCES: "50", QUOTA_CORES: "50" });
  for (const host of ["one", "two"]) await edge.agent(host, { vcpus: 16, memory_mb: 32_768 });
  image = await demoImage(edge.cloud);
});
afterAll(() => edge?.close());

const ask = (method: string, path: string, options: CallOptions = {}) =>
  askEdge(edge, method, path, { minor: 80, ...options });
const show = async (id: string) => (await ask("GET", `${V}/servers/${id}`)).body.server;
const hostOf = async (id: string): Promise<string> => (await show(id))["OS-EXT-SRV-ATTR:host"];
async function act(id: string, body: object, minor = 80): Promise<void> {
  const { status, body: told } = await ask("POST", `${V}/servers/${id}/action`, { body, minor });
  expect(status, JSON.stringify(told)).toBeLessThan(300);
}
const becomes = (id: string, status: string) =>
  until(async () => {
    const server = await show(id);
    const rests = server["OS-EXT-STS:task_state"] === null;
    if (rests && server.fault) throw new Error(JSON.stringify(server.fault));
    return rests && server.status === status && server;
  }, `it is ${status}`);
async function boot(): Promise<string> {
  const id = await edge.cloud.createServer("s", image, "1");
  await edge.cloud.built(id, 20_000);
  return id;
}
const other = (host: string) => (host === "one" ? "two" : "one");
/** How many servers have a claim on each host. */
async function used(): Promise<Record<string, number>> {
  const { hypervisors } = (await ask("GET", `${V}/os-hypervisors/detail`, { minor: 60 })).body;
  const rows = hypervisors.map((row: { service: { host: string }; running_vms: number }) => [
    row.service.host,
    row.running_vms,
  ]);
  return Object.fromEntries(rows);
}
const statuses = async (id: string) =>
  (await ask("GET", `${V}/os-migrations?instance_uuid=${id}`)).body.migrations.map(
    ({ status }: { status: string }) => status,
  );
const freed = (id: string) => ask("DELETE", `${V}/servers/${id}`);

it("a resize goes to the other host, and back, and stays once it is confirmed", async () => {
  const id = await boot();
  const from = await hostOf(id);
  await act(id, { resize: { flavorRef: "2" } });
  await becomes(id, "VERIFY_RESIZE");
  expect(await hostOf(id)).toBe(other(from));
  await act(id, { revertResize: null });
  expect((await becomes(id, "ACTIVE")).flavor.original_name).toBe("m1.tiny");
  expect(await hostOf(id)).toBe(from);
  await act(id, { resize: { flavorRef: "2" } });
  await becomes(id, "VERIFY_RESIZE");
  await act(id, { confirmResize: null });
  expect((await becomes(id, "ACTIVE")).flavor.original_name).toBe("m1.small");
  expect(await hostOf(id)).toBe(other(from));
  expect(await statuses(id)).toEqual(["confirmed", "reverted"]);
  await freed(id);
});

it("a resize may stay where it is, where the deployment allows that", async () => {
  const here = await startTestEdge({ ALLOW_RESIZE_TO_SAME_HOST: "true" });
  onTestFinished(() => here.close());
  await here.agent("alone", { vcpus: 16, memory_mb: 32_768 });
  const id = await here.cloud.createServer("s", await demoImage(here.cloud), "1");
  await here.cloud.built(id, 20_000);
  const path = `${V}/servers/${id}`;
  const shown = async () => (await askEdge(here, "GET", path, { minor: 80 })).body.server;
  const used = async () =>
    (await askEdge(here, "GET", `${V}/os-hypervisors/detail`, { minor: 60 })).body.hypervisors[0].memory_mb_used;
  const reserved = (await used()) - 512;
  for (const [action, status, ram, memory] of [
    ["resize", "VERIFY_RESIZE", 2048, 2560],
    ["revertResize", "ACTIVE", 512, 512],
    ["resize", "VERIFY_RESIZE", 2048, 2560],
    ["confirmResize", "ACTIVE", 2048, 2048],
  ] as const) {
    await askEdge(here, "POST", `${path}/action`, {
      minor: 80,
      body: { [action]: action === "resize" ? { flavorRef: "2" } : null },
    });
    await until(async () => {
      const server = await shown();
      if (server.fault) throw new Error(JSON.stringify(server.fault));
      return server.status === status && server["OS-EXT-STS:task_state"] === null;
    }, `it is ${status}`);
    expect((await shown()).flavor.ram).toBe(ram);
    expect(await used()).toBe(reserved + memory);
  }
});

it("a running server goes to the other host alive, and back, and a link to its console stays good", async () => {
  const id = await boot();
  const from = await hostOf(id);
  const link = async () => (await ask("GET", `${V}/servers/${id}/console-links`)).body.console_links[0].state;
  await ask("POST", `${V}/servers/${id}/console-links`, { body: { console_link: {} } });
  for (const to of [other(from), from]) {
    await act(id, { "os-migrateLive": { host: to, block_migration: "auto" } });
    await becomes(id, "ACTIVE");
    expect(await hostOf(id)).toBe(to);
    expect(await link()).toBe("active");
  }
  expect(await statuses(id)).toEqual(["completed", "completed"]);
  await act(id, { migrate: null });
  await becomes(id, "VERIFY_RESIZE");
  expect(await link()).toBe("server_restarted");
  await freed(id);
});

it("a server that is off is migrated and stays off", async () => {
  const id = await boot();
  await act(id, { "os-stop": null });
  await becomes(id, "SHUTOFF");
  const from = await hostOf(id);
  await act(id, { migrate: { host: other(from) } });
  await becomes(id, "VERIFY_RESIZE");
  await act(id, { confirmResize: null });
  await becomes(id, "SHUTOFF");
  await act(id, { "os-start": null });
  await becomes(id, "ACTIVE");
  expect(await hostOf(id)).toBe(other(from));
  await freed(id);
});

it("a drain leaves the host empty", async () => {
  const ids = [await boot(), await boot()];
  const from = await hostOf(ids[0] ?? "");
  const { services } = (await ask("GET", `${V}/os-services?host=${from}`)).body;
  const path = `${V}/os-services/${services[0].id}`;
  await ask("PUT", path, { body: { status: "disabled", drain: true } });
  const drained = await until(
    async () => {
      const { drain } = (await ask("GET", `${path}/drain`)).body;
      return drain.state === "done" && drain;
    },
    "the drain is done",
    40_000,
  );
  expect(drained.servers.map(({ state }: { state: string }) => state)).not.toContain("failed");
  for (const id of ids) expect(await hostOf(id)).toBe(other(from));
  await until(async () => (await used())[from] === 0, "its host is empty");
  await ask("PUT", path, { body: { status: "enabled" } });
});

it("a viewer is back at the new host, by the session that it has", async () => {
  const id = await boot();
  const from = await hostOf(id);
  const made = await ask("POST", `${V}/servers/${id}/console-links`, { body: { console_link: {} } });
  const { opened } = await askSession(edge, "", { token: tokenIn(made.body.console_link.url) });
  const before = await screenOf(edge, opened);
  await typeOn(before, "here");
  await act(id, { "os-migrateLive": { host: other(from), block_migration: "auto" } });
  await before.end();
  await becomes(id, "ACTIVE");
  const resumed = await askSession(edge, "/resume", { key: opened.key });
  expect(resumed.refused).toBeUndefined();
  const after = await screenOf(edge, resumed.opened);
  await typeOn(after, "there");
  expect(await hostOf(id)).toBe(other(from));
  after.ws.close();
  await freed(id);
});
