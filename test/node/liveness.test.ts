/** What operators, the scheduler and evacuations see of a host whose agent goes, comes back, or falls silent. */
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { CLOSE } from "../../functions/protocol/frames.ts";
import { ask, demoImage, startTestEdge, type TestEdge, until } from "../edge.ts";
import { type RawHost, rawHost } from "./raw-agent.ts";

const DOWN_MS = 3000;
let edge: TestEdge;
let image: string;
let host: RawHost;
let names = 0;

beforeAll(async () => {
  edge = await startTestEdge({ REPORT_INTERVAL: "0.5", SERVICE_DOWN_TIME: String(DOWN_MS / 1000) });
  image = await demoImage(edge.cloud);
});
afterEach(() => host?.close());
afterAll(() => edge?.close());

const rawLink = async () => {
  host = await rawHost(edge, `live-${++names}`);
  return host.link();
};
async function service(): Promise<{ id: string; state: string; updated_at: string }> {
  const { body } = await ask(edge, "GET", `/compute/v2.1/os-services?host=${host.host}`);
  return body.services[0];
}
async function hypervisor(): Promise<string> {
  const { body } = await ask(edge, "GET", "/compute/v2.1/os-hypervisors");
  return body.hypervisors.find((one: { hypervisor_hostname: string }) => one.hypervisor_hostname === host.host).state;
}
async function available(): Promise<boolean> {
  const { body } = await ask(edge, "GET", "/compute/v2.1/os-availability-zone/detail");
  return body.availabilityZoneInfo.find(({ zoneName }: { zoneName: string }) => zoneName === "nova").hosts[host.host][
    "nova-compute"
  ].available;
}
/** Why ComputeFilter does not take the host; null: it does. */
async function refusal(): Promise<string | null> {
  const server = { name: "a", imageRef: image, flavorRef: "1", networks: "none" };
  const { body } = await ask(edge, "POST", "/compute/v2.1/scheduling", { body: { server } });
  const steps: { name: string; reasons: { host: string; reason: string }[] }[] = body.scheduling.filters;
  const reasons = steps.find(({ name }) => name === "ComputeFilter")?.reasons ?? [];
  return reasons.find((one) => one.host === host.host)?.reason ?? null;
}
const state = async () => (await service()).state;

it.each(["cleanly", "without a word"])(
  "a link that ended %s leaves its host up, until it was silent for long",
  async (how) => {
    const link = await rawLink();
    expect([await state(), await hypervisor(), await available(), await refusal()]).toEqual(["up", "up", true, null]);
    if (how === "cleanly") link.ws.close(1001);
    else link.ws.terminate();
    // It is up, and takes no server.
    await until(async () => (await refusal()) === "its agent is not connected", "the scheduler knows of it");
    await until(async () => (await state()) === "down", "it is down");
    const seen = `${(await service()).updated_at.slice(0, 23)}Z`;
    expect(Date.now() - Date.parse(seen)).toBeGreaterThan(DOWN_MS);
    expect([await hypervisor(), await available()]).toEqual(["down", false]);
    expect(await refusal()).toBe(`its service is down: no heartbeat since ${seen}`);
    await host.link();
    await until(async () => (await state()) === "up", "it is back");
    expect(await refusal()).toBeNull();
  },
);

it("a link on which no heartbeat comes is ended, and its host down", async () => {
  const link = await rawLink();
  expect(await link.end()).toMatchObject({ code: CLOSE.SILENT });
  await until(async () => (await state()) === "down", "it is down");
});
