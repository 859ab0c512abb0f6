/** A drain moves what a host has, some at a time, and stops when it is told. */
import { env, runDurableObjectAlarm } from "cloudflare:test";
import { afterEach, beforeEach, expect, it } from "vitest";
import { MovingWorld } from "./moving.ts";
import { until } from "./scripted-agent.ts";

let world: MovingWorld;
let servers: string[];
/** Two servers run, one is off; the second host has room for all of them. */
beforeEach(async () => {
  world = await MovingWorld.of(2);
  servers = [world.uuid];
  await world.done("stop");
  for (let more = 0; more < 2; more++) {
    await world.create();
    servers.push(world.uuid);
  }
  await world.host(0).updateService({ enabled: false });
});
afterEach(() => world.close());

const drain = () => env.DRAIN.getByName(world.agent(0).host);
const start = () => drain().start(world.agent(0).host, world.actor());
const states = async () =>
  Object.fromEntries((await drain().status())?.servers.map(({ id, state }) => [id, state]) ?? []);
/** Lets the drain, and every server, go on by their alarms. */
async function tick(): Promise<void> {
  await runDurableObjectAlarm(drain());
  for (const uuid of servers) await runDurableObjectAlarm(env.SERVER.getByName(uuid));
}
const show = (uuid: string) => env.SERVER.getByName(uuid).show(world.actor());
const ended = () =>
  until(async () => {
    await tick();
    const status = await drain().status();
    return status?.state !== "running" && status;
  }, "it has ended");

it("moves alive what runs, and with its disks what is off", async () => {
  await start();
  await ended();
  expect(await drain().status()).toMatchObject({ state: "done", ended_at: expect.any(String) });
  const [stopped = "", ...running] = servers;
  expect(await states()).toEqual(Object.fromEntries(servers.map((uuid) => [uuid, "moved"])));
  expect(await show(stopped)).toMatchObject({ vm_state: "stopped", host: world.agent(1).host, resized: null });
  for (const uuid of running) expect(await show(uuid)).toMatchObject({ vm_state: "active", host: world.agent(1).host });
  expect(world.methods(0).filter((method) => method === "live_migration")).toHaveLength(2);
  expect(world.methods(0).filter((method) => method === "send_disks")).toHaveLength(1);
  await until(async () => (await world.host(0).state())?.used.instances === 0, "the host is empty");
});

it("begins no more than some at a time, and none once it is stopped", async () => {
  world.answer(0, "live_migration", () => null);
  world.answer(0, "send_disks", () => null);
  await start();
  await until(async () => {
    await tick();
    return Object.values(await states()).filter((state) => state === "moving").length === 2;
  }, "two are moving");
  for (let ticks = 0; ticks < 3; ticks++) await tick();
  expect(Object.values(await states()).sort()).toEqual(["moving", "moving", "waiting"]);
  await start();
  expect(Object.values(await states()).sort()).toEqual(["moving", "moving", "waiting"]);
  await drain().stop();
  for (let ticks = 0; ticks < 3; ticks++) await tick();
  expect(await drain().status()).toMatchObject({ state: "stopped" });
  expect(Object.values(await states()).sort()).toEqual(["moving", "moving", "waiting"]);
});

it("says why a server stays, and is done with the others; begun anew it tries again", async () => {
  const heal = world.refuse(0, "live_migration");
  const [, first = ""] = servers;
  await env.SERVER.getByName(first).lock(world.actor());
  await start();
  await ended();
  expect(Object.values(await states()).sort()).toEqual(["failed", "failed", "moved"]);
  expect((await drain().status())?.servers.find(({ id }) => id === first)?.reason).toBe(
    "MigrationError: no live_migration",
  );
  heal();
  await start();
  await ended();
  expect(Object.values(await states())).toEqual(["moved", "moved"]);
});

it("was never begun: there is nothing to tell", async () => {
  expect(await drain().status()).toBeNull();
});
