/** One case of a crash: an operation, a moment in it, and what happens then. */
import { setTimeout as sleep } from "node:timers/promises";
import { it } from "vitest";
import { until } from "../edge.ts";
import { againIfItFails, Dice, SEED, told } from "./dice.ts";
import { heals } from "./invariants.ts";
import type { Moment, OperationName } from "./moments.ts";
import { OPERATIONS, SLOW_MS } from "./operations.ts";
import { CUT_MS } from "./scale.ts";
import type { Hold } from "./wire.ts";
import type { Victim, World } from "./world.ts";

export const TIMEOUT_MS = 240_000 + CUT_MS;

export type Injury = { name: string; happens(world: World): Promise<void> };
export const killed = (victim: Victim): Injury => ({
  name: `${victim} killed`,
  happens: (world) => world.crash(victim),
});
export const cut = (how: "reset" | "silent"): Injury => ({
  name: `wire cut, ${how}`,
  async happens(world) {
    world.wire.cut(how);
    await sleep(CUT_MS);
    world.wire.mend();
    await world.linked();
  },
});
export type Case = { operation: OperationName; injury: Injury; moment: Moment };
export const title = ({ operation, injury, moment }: Case) => `${operation}, ${injury.name}: ${moment}`;

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

/** `mayFail`: the operation may fail for the time that it was held up, as long as it says so. */
export function survives(world: () => World, all: readonly Case[], mayFail: boolean): void {
  it.each(all.map((one) => ({ ...one, title: title(one) })))("$title", { timeout: TIMEOUT_MS }, async (one) => {
    told(title(one));
    againIfItFails(`CRASH_ONLY="${title(one)}"`);
    const { begun, release } = await reach(world(), one, new Dice(SEED));
    await one.injury.happens(world());
    release();
    await begun.ends(world(), mayFail);
    await heals(world());
    await world().clear();
    await heals(world());
  });
}
