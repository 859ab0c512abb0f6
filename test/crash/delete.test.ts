/** Deleting in the middle of a build, or while the host is away; and an agent that leaves and comes back. */
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { until } from "../edge.ts";
import { World } from "./world.ts";

/** A build that nobody waits for: only being cut short ends it in a test's time. */
const ENDLESS_MS = 10 * 60_000;
const TIMEOUT_MS = 120_000;

let world: World;

beforeAll(async () => {
  world = await World.start();
  await world.linked();
});
afterAll(() => world?.close());

afterEach(() => world.isEmpty(), TIMEOUT_MS);

const isRunning = (id: string) => world.guests().some(({ uuid, power_state }) => uuid === id && power_state === 1);

async function running(): Promise<string> {
  const id = await world.boot();
  expect((await world.settled(id))?.status).toBe("ACTIVE");
  expect(isRunning(id)).toBe(true);
  return id;
}

async function spawning(): Promise<string> {
  const id = await world.boot(ENDLESS_MS);
  await until(async () => (await world.show(id))?.task === "spawning", "it is being spawned");
  return id;
}

const remove = async (id: string) => expect((await world.call("DELETE", `/servers/${id}`)).status).toBe(204);
const gone = () => until(() => world.guests().length === 0, "the guest is gone");

it("deletes a server whose spawn would go on for ever", { timeout: TIMEOUT_MS }, async () => {
  const id = await spawning();
  await remove(id);
  await world.deleted(id);
  expect(world.guests()).toEqual([]);
});

it("deletes a server whose spawn was cut off by a crash of the agent", { timeout: TIMEOUT_MS }, async () => {
  const id = await spawning();
  await world.killAgent();
  await remove(id);
  await world.deleted(id);
  world.startAgent();
  await world.linked();
  expect(world.guests()).toEqual([]);
});

it("deletes a server while its edge is killed and comes back", { timeout: TIMEOUT_MS }, async () => {
  const id = await spawning();
  await remove(id);
  await world.killEdge();
  await world.startEdge();
  await world.linked();
  await world.deleted(id);
  await gone();
});

it("deletes a server whose host is away, and ends the guest when it returns", { timeout: TIMEOUT_MS }, async () => {
  const id = await running();
  await world.killAgent();
  await remove(id);
  await world.deleted(id);
  expect(isRunning(id)).toBe(true);
  world.startAgent();
  await gone();
});

it("deletes a server whose host is away, also when the edge is killed before it returns", {
  timeout: TIMEOUT_MS,
}, async () => {
  const id = await running();
  await world.killAgent();
  await remove(id);
  await world.deleted(id);
  await world.killEdge();
  await world.startEdge();
  world.startAgent();
  await gone();
});

it.each(["SIGKILL", "SIGTERM"] as const)(
  "keeps a guest over the agent's %s",
  { timeout: TIMEOUT_MS },
  async (signal) => {
    const id = await running();
    const guests = world.guests();
    if (signal === "SIGTERM") await world.stopAgent();
    else await world.killAgent();
    expect(world.guests()).toEqual(guests);
    expect((await world.show(id))?.status).toBe("ACTIVE");
    world.startAgent();
    await world.linked();
    expect(world.guests()).toEqual(guests);
    // The edge still rules it.
    const reboot = await world.call("POST", `/servers/${id}/action`, { reboot: { type: "HARD" } });
    expect(reboot.status).toBe(202);
    expect((await world.settled(id))?.status).toBe("ACTIVE");
    expect(world.guests()[0]).not.toEqual(guests[0]);
    expect(isRunning(id)).toBe(true);
  },
);

it("knows that a guest vanished while the agent was away, and frees its claim when it is deleted", {
  timeout: TIMEOUT_MS,
}, async () => {
  const id = await running();
  await world.stopAgent();
  world.forgetGuests();
  world.startAgent();
  // As in Nova, a guest that is not found is for a person to judge: the server stays ACTIVE.
  await until(async () => (await world.show(id))?.power === 0, "the edge knows that there is no guest");
  expect((await world.show(id))?.status).toBe("ACTIVE");
  await remove(id);
  await world.deleted(id);
});
