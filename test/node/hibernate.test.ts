import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { demoImage, startTestEdge, type TestEdge, until } from "../edge.ts";

/** The runtime puts an object to sleep after 10 s without an event; two more are for a slow machine. */
const ASLEEP_AFTER_MS = 12_000;

let edge: TestEdge;
beforeAll(async () => {
  edge = await startTestEdge({ REPORT_INTERVAL: "1" });
  await edge.agent("idle");
});
afterAll(() => edge?.close());

const wakes = () => edge.harness.getLogs().filter((line) => line.message.includes("host.woken")).length;

it("an idle host's object sleeps through its heartbeats, and serves when it is called", async () => {
  const image = await demoImage(edge.cloud);
  await sleep(ASLEEP_AFTER_MS);
  const before = wakes();
  const id = await edge.cloud.createServer("a", image, "1");
  expect((await edge.cloud.built(id, 20_000)).status).toBe("ACTIVE");
  // It was made anew for the claim: had a heartbeat kept it awake, it would still be the first.
  await until(() => wakes() === before + 1, "the object was woken once");
});
