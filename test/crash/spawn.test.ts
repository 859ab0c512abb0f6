/** The edge, the agent or both killed with SIGKILL at many moments of a build: the server ends well, and nothing leaks. */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { until } from "../edge.ts";
import { Dice, SEED, told } from "./dice.ts";
import { type Victim, World } from "./world.ts";

/** Long enough to be killed in, short beside a restart. */
const SLOW_MS = 700;
const TIMEOUT_MS = 120_000;

const dice = new Dice(SEED);
const random = () => dice.next();

type Moment = "before the spawn arrives" | "during the spawn" | "as the guest is up" | "once the edge knows" | number;

/** Those on the wire are survives.test.ts's. Numbers are milliseconds after the API's answer. */
const CASES: readonly (readonly [Victim, Moment])[] = [
  ["agent", "before the spawn arrives"],
  ["agent", "as the guest is up"],
  ["edge", "during the spawn"],
  ["edge", "once the edge knows"],
  ["both", "as the guest is up"],
  ["agent", Math.round(random() * SLOW_MS)],
  ["edge", Math.round(random() * 40)],
  ["both", Math.round(random() * SLOW_MS)],
];

let world: World;

beforeAll(async () => {
  told(CASES.map(([victim, moment]) => `${victim} ${moment}`).join("; "));
  world = await World.start();
  await world.linked();
});
afterAll(() => world?.close());

/** Resolves at the moment, with the agent frozen where that is how the moment is held still. */
async function reach(moment: Moment, id: string): Promise<void> {
  if (typeof moment === "number") return void (await sleep(moment));
  if (moment === "once the edge knows") {
    await until(async () => (await world.show(id))?.status === "ACTIVE", "the edge knows");
    return;
  }
  await until(async () => (await world.show(id))?.task === "spawning", "the spawn is sent");
  if (moment === "during the spawn") await sleep(random() * SLOW_MS * 0.6);
  if (moment === "as the guest is up") await until(() => world.guests().some(({ uuid }) => uuid === id), "it is up");
}

/** What a server is in the end, and what the hypervisor has, agree. */
async function endsWell(id: string): Promise<void> {
  const end = await world.settled(id);
  expect(["ACTIVE", "ERROR"]).toContain(end?.status);
  // No reason was given to fail: what was cut off was done again.
  expect(end).toMatchObject({ id, status: "ACTIVE", task: null, power: 1 });
  await until(() => world.guests().length === 1, "there is one guest");
  expect(world.guests()).toMatchObject([{ uuid: id, power_state: 1 }]);
  await until(async () => (await world.list())[0]?.status === "ACTIVE", "the index knows it too");
  expect(await world.list()).toMatchObject([{ id, status: "ACTIVE", task: null }]);
}

describe("a build", () => {
  it.each(CASES)("survives: %s killed %s", { timeout: TIMEOUT_MS }, async (victim, moment) => {
    // A stopped agent has the call in its socket and has not read it.
    if (moment === "before the spawn arrives") world.signalAgent("SIGSTOP");
    const id = await world.boot(SLOW_MS);
    await reach(moment, id);
    await world.crash(victim);
    await endsWell(id);
    await world.isEmpty();
  });

  it("that the edge was killed in before it answered, leaves a server or nothing", {
    timeout: TIMEOUT_MS,
  }, async () => {
    for (const delayMs of [random() * 5, random() * 20]) {
      const asked = world.create(SLOW_MS).then(
        ({ status }) => status,
        () => "cut off" as const,
      );
      await sleep(delayMs);
      await world.crash("edge");
      await asked;
      const all = await world.list();
      expect(all.length).toBeLessThanOrEqual(1);
      for (const { id } of all)
        await until(async () => (await world.show(id))?.status !== "BUILD", "it is built", 60_000);
    }
    await world.isEmpty();
  });
});
