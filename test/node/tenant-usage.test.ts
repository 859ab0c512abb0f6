/** /os-simple-tenant-usage against Nova's rules: of servers that run, and of those that ran. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CallOptions, demoImage, startTestEdge, type TestEdge, until } from "../edge.ts";
import { tokenOf } from "../tokens.ts";

const V = "/compute/v2.1";
const PROJECT = "6d0f4ac1b2f94d0f9d5c3c1a7e5b2a10";
const OTHER = "00000000000000000000000000000000";
const ALL = "/os-simple-tenant-usage";
const MINE = `${ALL}/${PROJECT}`;

let edge: TestEdge;
let servers: { gone: string; here: string };
let began: string;

beforeAll(async () => {
  edge = await startTestEdge();
  await edge.agent("one");
  const image = await demoImage(edge.cloud);
  began = new Date(Date.now() - 3_600_000).toISOString().slice(0, 19);
  const gone = await edge.cloud.createServer("gone", image, "1");
  const here = await edge.cloud.createServer("here", image, "2");
  await edge.cloud.built(gone, 20_000);
  await edge.cloud.built(here, 20_000);
  await edge.call("DELETE", `${V}/servers/${gone}`);
  await until(async () => (await edge.call("GET", `${V}/servers/${gone}`)).status === 404, "it is gone");
  const listed = async () => (await (await edge.call("GET", `${V}/servers`)).json()).servers.length;
  await until(async () => (await listed()) === 1, "it has left the list");
  servers = { gone, here };
});
afterAll(() => edge?.close());

async function ask(path: string, options: CallOptions = {}) {
  const response = await edge.call("GET", `${V}${path}`, options);
  return { status: response.status, body: await response.json() };
}
type Usage = { instance_id: string; state: string; hours: number; vcpus: number; memory_mb: number };

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/;

describe("GET /os-simple-tenant-usage/{project} (simple_tenant_usage.py)", () => {
  it("sums what ran in the time, deleted servers too", async () => {
    const { status, body } = await ask(`${MINE}?start=${began}`, { minor: 1 });
    expect(status).toBe(200);
    const { server_usages, ...sums } = body.tenant_usage;
    const byName = Object.fromEntries(server_usages.map((one: { name: string }) => [one.name, one]));
    expect(byName.gone).toEqual({
      instance_id: servers.gone,
      name: "gone",
      hours: expect.any(Number),
      flavor: "m1.tiny",
      memory_mb: 512,
      local_gb: 1,
      vcpus: 1,
      tenant_id: PROJECT,
      started_at: expect.stringMatching(TIME),
      ended_at: expect.stringMatching(TIME),
      state: "terminated",
      uptime: expect.any(Number),
    });
    expect(byName.here).toMatchObject({ instance_id: servers.here, ended_at: null, state: "active", memory_mb: 2048 });
    const sum = (of: (one: Usage) => number) =>
      server_usages.reduce((total: number, one: Usage) => total + of(one) * one.hours, 0);
    expect(sums).toEqual({
      tenant_id: PROJECT,
      total_hours: sum(() => 1),
      total_vcpus_usage: sum((one) => one.vcpus),
      total_memory_mb_usage: sum((one) => one.memory_mb),
      total_local_gb_usage: expect.any(Number),
      start: `${began}.000000`,
      stop: expect.stringMatching(TIME),
    });
    expect(sums.total_hours).toBeGreaterThan(0);
    expect(sums.total_hours).toBeLessThan(0.1);
  });
  it.each([
    "?start=2001-01-01T00:00:00&end=2001-01-02T00:00:00.5",
    "?start=2001-01-01%2000:00:00.0&end=2001-01-02T00:00:00",
  ])("%j, in which nothing ran, is empty", async (query) =>
    expect(await ask(`${MINE}${query}`)).toEqual({ status: 200, body: { tenant_usage: {} } }),
  );
  it.each([
    ["start=yesterday", "Invalid datetime string: Datetime is in invalid format"],
    ["start=2026-02-30T00:00:00", "Datetime is in invalid format"],
    ["end=2026-01-01", "Datetime is in invalid format"],
    ["start=2026-01-01%2000:00:00", "Datetime is in invalid format"],
    ["start=2001-01-02T00:00:00&end=2001-01-01T00:00:00", "Invalid start time."],
    ["start=2001-01-02T00:00:00&end=2001-01-02T00:00:00", "Invalid start time."],
    ["start=2999-01-01T00:00:00", "Invalid start time."],
    ["limit=x", "limit"],
    ["marker=nothing", "marker [nothing] not found"],
  ])("%s is 400", async (query, message) => {
    const { status, body } = await ask(`${MINE}?${query}`);
    expect([status, body.badRequest.message]).toEqual([400, expect.stringContaining(message)]);
  });
});

describe("GET /os-simple-tenant-usage", () => {
  it("shows every project, with its servers only if asked for", async () => {
    const brief = (await ask(`${ALL}?start=${began}`)).body.tenant_usages;
    expect(brief).toHaveLength(1);
    expect(brief[0]).not.toHaveProperty("server_usages");
    const detailed = (await ask(`${ALL}?start=${began}&detailed=1`)).body.tenant_usages;
    expect(detailed[0].server_usages).toHaveLength(2);
  });
  it.each([
    [ALL, "tenant_usages", "tenant_usages_links"],
    [MINE, "tenant_usage", "tenant_usage_links"],
  ])("%s pages from 2.40 on", async (path, key, links) => {
    const query = `start=${began}&detailed=1&limit=1`;
    const usages = (body: Record<string, unknown>) =>
      [body[key]].flat().flatMap((one) => (one as { server_usages?: Usage[] }).server_usages ?? []);
    const before = (await ask(`${path}?${query}`, { minor: 39 })).body;
    expect([usages(before).length, before[links]]).toEqual([2, undefined]);
    const seen: string[] = [];
    for (let next: string | undefined = `${path}?${query}`; next !== undefined; ) {
      const { body }: { body: Record<string, { href: string }[]> } = await ask(next, { minor: 40 });
      seen.push(...usages(body).map((one) => one.instance_id));
      next = body[links]?.[0]?.href.replace(`${edge.url}${V}`, "");
    }
    expect(seen).toEqual([servers.gone, servers.here].sort());
  });
});

describe("who may (policies/simple_tenant_usage.py)", () => {
  it.each([
    [{ project: PROJECT, roles: ["reader"] }, MINE, 200],
    [{ project: PROJECT, roles: ["member"] }, ALL, 403],
    [{ project: OTHER, roles: ["reader"] }, MINE, 403],
    [{ project: OTHER, roles: ["admin"] }, MINE, 200],
    [{ project: OTHER, roles: ["admin"] }, ALL, 200],
    [{ project: PROJECT, roles: ["admin"] }, `${ALL}/${OTHER}`, 400],
  ])("%j asking %s: %i", async (who, path, expected) => {
    expect((await ask(path, { token: await tokenOf({ user: "u", ...who }) })).status).toBe(expected);
  });
});
