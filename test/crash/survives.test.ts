/**
 * Each operation x each moment in it x what happens then: SIGKILL of the agent, of the edge, of both, or a wire that is
 * cut for 5 minutes. `npm run test:crash` goes through as many as CRASH_ROUNDS says, in the order of CRASH_SEED; CI
 * through a few. One case alone: CRASH_ONLY="build, edge killed: ack spawn".
 */
import { afterAll, beforeAll, describe, it } from "vitest";
import { type Case, cut, type Injury, killed, survives, TIMEOUT_MS, title } from "./cases.ts";
import { Dice, ROUNDS, SEED } from "./dice.ts";
import { momentsOf, OPERATION_NAMES } from "./moments.ts";
import { SCALED_TOML, SCALED_VARS } from "./scale.ts";
import { World } from "./world.ts";

const KILLS = [killed("agent"), killed("edge"), killed("both")];
const CUTS = [cut("reset"), cut("silent")];

/** All there are, in an order of the seed's. */
function cases(injuries: readonly Injury[], count: number): Case[] {
  const all = OPERATION_NAMES.flatMap((operation) =>
    momentsOf(operation).flatMap((moment) => injuries.map((injury) => ({ operation, injury, moment }))),
  );
  const only = process.env.CRASH_ONLY;
  if (only !== undefined) return all.filter((one) => title(one) === only);
  return new Dice(SEED).shuffled(all).slice(0, count);
}

describe("a SIGKILL", () => {
  const all = cases(KILLS, ROUNDS);
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
  const all = cases(CUTS, Math.ceil(ROUNDS / 2));
  let world: World;
  beforeAll(async () => {
    if (all.length > 0) world = await World.start({ vars: SCALED_VARS, toml: SCALED_TOML });
    await world?.linked();
  });
  afterAll(() => world?.close());

  survives(() => world, all, true);
  it.runIf(all.length > 0)("has leaked nothing", { timeout: TIMEOUT_MS }, () => world.isEmpty());
});
