/** Hosts that are restarted, and guests that come back from the dead, through the real edge and agent. */
import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ask as askEdge, demoImage, startTestEdge, type TestAgent, type TestEdge, until } from "../edge.ts";

const V = "/compute/v2.1";
let edge: TestEdge;
let image: string;

beforeAll(async () => {
  edge = await startTestEdge();
  image = await demoImage(edge.cloud);
}, 60_000);
afterAll(() => edge?.close());

const ask = (method: string, path: string, body?: unknown) =>
  askEdge(edge, method, path, body === undefined ? {} : { body });
const shown = async (id: string) => (await ask("GET", `${V}/servers/${id}`)).body?.server;
const becomes = (id: string, status: string | undefined, power_state?: number) =>
  until(async () => {
    const server = await shown(id);
    const power = power_state === undefined || server?.["OS-EXT-STS:power_state"] === power_state;
    return server?.status === status && power && { ...server };
  }, `it is ${status}`);

async function boot(host: string, metadata: Record<string, string> = {}): Promise<string> {
  const zone = { availability_zone: `nova:${host}` };
  const server = { name: "a", imageRef: image, flavorRef: "1", networks: "none", metadata, ...zone };
  const { id } = (await ask("POST", `${V}/servers`, { server })).body.server;
  await edge.cloud.built(id, 20_000);
  return id;
}

async function restartHost({ agent, host, stateDir }: TestAgent, toml: string): Promise<TestAgent> {
  await agent.stop();
  writeFileSync(join(stateDir, "fake/boot_id"), "another");
  return edge.agent(host, { stateDir, toml });
}

it("runs the guests again that ran, leaves the others off, and tells of one that does not start", async () => {
  const before = await edge.agent("resumes");
  const [ran, stopped, fails] = await Promise.all([
    boot("resumes"),
    boot("resumes"),
    boot("resumes", { "fake:fail": "power_on=InsufficientFreeDisk" }),
  ]);
  await ask("POST", `${V}/servers/${stopped}/action`, { "os-stop": null });
  await becomes(stopped, "SHUTOFF");
  const { logs } = await restartHost(before, "resume_guests_state_on_host_boot = true");
  const { fault } = await becomes(fails, "ERROR", 4);
  expect(fault).toMatchObject({
    code: 500,
    message: expect.stringMatching(/^The host was restarted, .*InsufficientFreeDisk/),
  });
  await becomes(ran, "ACTIVE", 1);
  await becomes(stopped, "SHUTOFF", 4);
  expect(logs.filter(({ event }) => event === "guest.resumed")).toMatchObject([{ server: ran }]);
});

it("without that option shows them as stopped, and they can be started", async () => {
  const before = await edge.agent("stays");
  const id = await boot("stays");
  await restartHost(before, "");
  await becomes(id, "SHUTOFF", 4);
  await ask("POST", `${V}/servers/${id}/action`, { "os-start": null });
  await becomes(id, "ACTIVE", 1);
});

it.each(["reap", "log"])("what comes back of a deleted server is dealt with as configured: %s", async (action) => {
  const before = await edge.agent(action);
  const { host, stateDir } = before;
  const guests = join(stateDir, "fake/guests.json");
  const id = await boot(host);
  copyFileSync(guests, `${guests}.backup`);
  await ask("DELETE", `${V}/servers/${id}`);
  await becomes(id, undefined);
  await before.agent.stop();
  copyFileSync(`${guests}.backup`, guests);
  const { logs } = await edge.agent(host, { stateDir, toml: `running_deleted_instance_action = "${action}"` });
  await until(() => logs.some(({ event, server }) => event === "guest.deleted_found" && server === id), "it is found");
  const destroyed = () => logs.some(({ event, method, ok }) => event === "call.done" && method === "destroy" && ok);
  if (action === "reap") await until(destroyed, "it is destroyed");
  else expect(destroyed()).toBe(false);
});
