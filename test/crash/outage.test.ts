/** The edge is killed and stays away for longer than service_down_time: no host is down for it, but the one that died. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { until } from "../edge.ts";
import { Fleet } from "../fleet.ts";
import { KillableEdge } from "../killable-edge.ts";

const AGENTS = 100;
const DEAD = "light-7";
const REPORT_INTERVAL_S = 1;
const SERVICE_DOWN_TIME_S = 10;
/** As long beside service_down_time as the agents' own cap is beside Nova's default. */
const RETRY = { baseMs: 200, capMs: 3300 };

const edge = new KillableEdge({
  REPORT_INTERVAL: String(REPORT_INTERVAL_S),
  SERVICE_DOWN_TIME: String(SERVICE_DOWN_TIME_S),
});
let fleet: Fleet;

beforeAll(async () => {
  await edge.start();
  fleet = await Fleet.start({ edge: edge.url, cloud: await edge.cloud(), count: AGENTS, dir: edge.dir, retry: RETRY });
  await until(() => fleet.linked.size === AGENTS, "all are linked", 60_000);
}, 240_000);
afterAll(async () => {
  await fleet?.stop();
  await edge.close();
});

const down = async () => [...(await edge.services())].flatMap(([host, state]) => (state === "down" ? [host] : []));

it("keeps its hosts up through an outage, takes all agents back, and finds the host that died meanwhile", {
  timeout: 120_000,
}, async () => {
  expect((await edge.services()).size).toBe(AGENTS);
  expect(await down()).toEqual([]);
  await edge.kill();
  await until(() => fleet.linked.size === 0, "all have lost it");
  await fleet.kill(DEAD);
  fleet.lines = 0;
  // What is tested is that this time counts for nothing.
  await sleep((SERVICE_DOWN_TIME_S + REPORT_INTERVAL_S) * 1000);
  await edge.start();
  // A read before any agent is back, and then all the way.
  let found: string[] = [];
  await until(
    async () => {
      found = await down();
      expect(found.filter((host) => host !== DEAD)).toEqual([]);
      return fleet.linked.size === AGENTS - 1;
    },
    "all that live are linked",
    60_000,
  );
  await until(
    async () => {
      found = await down();
      expect(found.filter((host) => host !== DEAD)).toEqual([]);
      return found.length === 1;
    },
    "the dead one is down",
    60_000,
  );
  expect(found).toEqual([DEAD]);
  expect(fleet.refusals).toEqual([]);
});
