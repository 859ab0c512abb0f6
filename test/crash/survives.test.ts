/**
 * Each operation x each moment in it x what happens then: SIGKILL of the agent, of the edge, of both, or a wire that is
 * cut for 5 minutes. `npm run test:crash` goes through as many as CRASH_ROUNDS says, in the order of CRASH_SEED; CI
 * through a few. One case alone: CRASH_ONLY="build, edge killed: ack spawn".
 */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, it } from "vitest";
import { until } from "../edge.ts";
import { Dice, ROUNDS, SEED, told } from "./dice.ts";
import { heals } from "./invariants.ts";
import { type Moment, momentsOf, OPERATION_NAMES, type OperationName } from "./moments.ts";
import { OPERATIONS, SLOW_MS } from "./operations.ts";
import type { Hold } from "./wire.ts";
import { CUT_MS, SCALED_TOML, SCALED_VARS, type Victim, World } from "./world.ts";

const TIMEOUT_MS = 240_000 + CUT_MS;

type Injury = { name: string; happens(world: World): Promise<void> };
const killed = (victim: Victim): Injury => ({ name: `${victim} killed`, happens: (world) => world.crash(victim) });
const cut = (how: "reset" | "silent"): Injury => ({
  name: `wire cut, ${how}`,
  async happens(world) {
    world.wire.cut(how);
    await sleep(CUT_MS);
    world.wire.mend();
    await world.linked();
  },
});
const KILLS = [killed("agent"), killed("edge"), killed("both")];
const CUTS = [cut("reset"), cut("silent")];

type Case = { operation: OperationName; injury: Injury; moment: Moment };
const title = ({ operation, injury, moment }: Case) => `${operation}, ${injury.name}: ${moment}`;

/** All there are, in an order of the seed's. */
function cases(injuries: readonly Injury[]): Case[] {
  const all = OPERATION_NAMES.flatMap((operation) =>
    momentsOf(operation).flatMap((moment) => injuries.map((injury) => ({ operation, injury, moment }))),
  );
  const only = process.env.CRASH_ONLY;
  if (only !== undefined) return all.filter((one) => title(one) === only);
  return new Dice(SEED).shuffled(all).slice(0, ROUNDS);
}

/** Begins the operation, and resolves when it is in that moment. */
async function reach(world: World, { operation, moment }: Case, dice: Dice) {
  const [where, method = ""] = moment.split(" ");
  const label = where === "while" ? `call ${method}` : moment;
  let hold: Hold = { reached: Promise.resolve(), release: () => undefined };
  const begun = await OPERATIONS[operation].begin(world, () => {
    if (where !== "answer") hold = world.wire.hold(label);
  });
  if (where === "answer") await sleep(dice.next() * 15);
  await until(() => Promise.race([hold.reached.then(() => true), sleep(25).then(() => false)]), `${label} passes`);
  if (where !== "while") return { begun, release: hold.release };
  hold.release();
  await sleep(SLOW_MS * (0.1 + 0.8 * dice.next()));
  return { begun, release: hold.release };
}

function survives(world: () => World, all: readonly Case[], mayFail: boolean): void {
  it.each(all.map((one) => ({ ...one, title: title(one) })))("$title", { timeout: TIMEOUT_MS }, async (one) => {
    told(`CRASH_ONLY="${title(one)}"`);
    const { begun, release } = await reach(world(), one, new Dice(SEED));
    await one.injury.happens(world());
    release();
    await begun.ends(world(), mayFail);
    await heals(world());
    await world().clear();
    await heals(world());
  });
}

describe("a SIGKILL", () => {
  const all = cases(KILLS);
  let world: World;
  beforeAll(async () => {
    if (all.length > 0) world = await World.start();
    await world?.linked();
  });
  afterAll(() => world?.close());

  survives(() => world, all, false);
  it.runIf(all.length > 0)("has leaked nothing", { timeout: TIMEOUT_MS }, () => world.isEmpty());
});

describe("5 minutes without a line", () => {
  const all = cases(CUTS).slice(0, Math.ceil(ROUNDS / 2));
  let world: World;
  beforeAll(async () => {
    if (all.length > 0) world = await World.start({ vars: SCALED_VARS, toml: SCALED_TOML });
    await world?.linked();
  });
  afterAll(() => world?.close());

  survives(() => world, all, true);
  it.runIf(all.length > 0)("has leaked nothing", { timeout: TIMEOUT_MS }, () => world.isEmpty());
});
