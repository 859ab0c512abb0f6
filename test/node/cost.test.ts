/** What operations cost, exactly: an operator pays for each of these, and none of them depends on how fast a machine is. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ApiClient } from "../bench/api-client.ts";
import { costOf } from "../bench/cost.ts";
import { COUNTS_PATH, type Counts } from "../bench/counts.ts";
import { type Edge, startEdge } from "../bench/target.ts";
import { bundleWorker, COUNTED } from "../bench/worker-bundle.ts";
import { until } from "../edge.ts";
import { rawHost } from "./raw-agent.ts";

const dir = mkdtempSync(join(tmpdir(), "edgenova-cost-"));
let edge: Edge;
let api: ApiClient;
let server: string;

beforeAll(async () => {
  const bundleDir = join(dir, "worker");
  mkdirSync(bundleDir);
  await bundleWorker(bundleDir, COUNTED);
  edge = await startEdge({ dir, bundleDir }, null);
  api = await ApiClient.of(edge);
  server = await api.createActive("first");
});
afterAll(async () => {
  await edge?.stop();
  rmSync(dir, { recursive: true, force: true });
});

it("boots a server with eleven calls, and makes one object", async () => {
  const { requests, calls, made, alarmsSet } = await costOf(edge.url, () => api.create("counted"));
  expect(requests).toBe(1);
  expect(calls).toEqual({
    "FLAVORS.get": 1,
    "IMAGES.get": 1,
    "PROJECT.reserve": 1,
    "SERVER.create": 1,
    "SCHEDULER.select": 1,
    "HOST.claim": 1,
    "SCHEDULER.updateHost": 2,
    "HOST.call": 1,
    // While it spawns, and at its end.
    "PROJECT.index": 2,
  });
  expect(made).toEqual({ Server: 1 });
  // The server's own; the project's is set already.
  expect(alarmsSet).toBe(1);
});

it("shows a server to an admin with one call to it, and one for its host's state", async () => {
  const cost = await costOf(edge.url, () => api.call("GET", `/servers/${server}`));
  expect(cost).toMatchObject({ requests: 1, calls: { "SERVER.showWith": 1, "SCHEDULER.services": 1 }, rowsWritten: 0 });
  expect(cost.made).toEqual({});
});

it("gives a console's link with four calls, and one object for all of a server", async () => {
  await api.openConsole(server);
  const cost = await costOf(edge.url, () => api.openConsole(server));
  expect(cost.calls).toEqual({
    "SERVER.createLink": 1,
    "HOST.vncConsole": 1,
    "CONSOLE.give": 1,
    "CONSOLE_AUTH.authorize": 1,
  });
  // Which of the sixteen objects has the token is chance: each is made once.
  expect(Object.keys(cost.made).filter((name) => name !== "ConsoleAuth")).toEqual([]);
});

it("lists a project's servers with one call, a row for each, and wakes none of them", async () => {
  const count = (await api.fill(20)).length;
  const cost = await costOf(edge.url, () => api.call("GET", "/servers/detail", undefined, "2.15"));
  expect(cost).toEqual({
    requests: 1,
    calls: { "PROJECT.list": 1 },
    woken: {},
    made: {},
    rowsRead: count,
    rowsWritten: 0,
    alarmsSet: 0,
  });
});

it("takes an agent back with two rows at the most, and without a word to Identity or to the scheduler", async () => {
  const host = await rawHost(edge, "back");
  const again = async () => {
    link.ws.terminate();
    link = await host.link();
  };
  let link = await host.link();
  // From its second dial on the host knows its agent's key.
  await again();
  const cost = await costOf(edge.url, again);
  expect(cost).toMatchObject({ requests: 1, made: {} });
  expect(cost.calls).toEqual({ "HOST.agentKey": 1, "HOST.fetch": 1 });
  // Its link's end, and its hello; when the old link ends after the new one has come, neither.
  expect(cost.rowsWritten).toBeLessThanOrEqual(2);
  expect(cost.alarmsSet).toBeLessThanOrEqual(1);
  host.close();
});

it("watches over a linked host with an alarm for each service_down_time, and writes nothing", async () => {
  const quick = await startEdge({ dir, bundleDir: join(dir, "worker") }, null, {
    REPORT_INTERVAL: "0.2",
    SERVICE_DOWN_TIME: "2",
  });
  try {
    const count = async (): Promise<Counts> => (await fetch(`${quick.url}${COUNTS_PATH}`)).json();
    const looks = async () => (await count()).alarmsSet;
    const first = await looks();
    const cost = await costOf(quick.url, () => until(async () => (await looks()) >= first + 3, "three looks"));
    expect(cost).toMatchObject({ requests: 0, calls: {}, made: {}, rowsWritten: 0 });
  } finally {
    await quick.stop();
  }
});
