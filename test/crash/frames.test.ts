/** Frames of every kind lost, doubled and put out of order, both ways, while servers are built, rebuilt, copied and deleted. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { againIfItFails, Dice, ROUNDS, SEED, told } from "./dice.ts";
import { heals } from "./invariants.ts";
import { OPERATION_NAMES } from "./moments.ts";
import { OPERATIONS } from "./operations.ts";
import { SCALED_TOML, SCALED_VARS } from "./scale.ts";
import type { Fates, Way } from "./wire.ts";
import { World } from "./world.ts";

const TIMEOUT_MS = 240_000;
/** Later than what follows in the same flow, and than its end. */
const LATE_MS = 1500;

let world: World;
beforeAll(async () => {
  world = await World.start({ vars: SCALED_VARS, toml: SCALED_TOML });
  await world.linked();
});
afterAll(() => world?.close());

/** Deals with one frame in three; never with the same label in the same way again, so that what is tried again arrives. */
function unfair(dice: Dice): Fates {
  const dealt = new Set<string>();
  return (label: string, way: Way) => {
    if (dice.next() > 1 / 3) return "pass";
    const what = dice.pick(["lost", "doubled", "late"] as const);
    const key = `${way} ${label} ${what}`;
    if (label === "bytes" || dealt.has(key)) return "pass";
    dealt.add(key);
    told(`${label}, ${way}: ${what}`);
    const ms = Math.round(dice.next() * LATE_MS);
    return { lost: "drop", doubled: { again: ms }, late: { late: ms } }[what] as ReturnType<Fates>;
  };
}

describe("frames that are lost, doubled or late", () => {
  const rounds = Array.from({ length: Math.ceil(ROUNDS / 4) }, (_, at) => SEED + at);

  it.each(rounds)("leave every server whole: round %i", { timeout: TIMEOUT_MS }, async (seed) => {
    againIfItFails();
    const dice = new Dice(seed);
    world.wire.fates = unfair(dice);
    for (const operation of dice.shuffled(OPERATION_NAMES)) {
      told(operation);
      const begun = await OPERATIONS[operation].begin(world, () => undefined);
      await begun.ends(world, true);
    }
    world.wire.fates = () => "pass";
    await heals(world);
    await world.clear();
    await heals(world);
  });
});

describe("one frame", () => {
  const FRAMES = ["call spawn", "result spawn", "ack spawn"] as const;

  it.each(FRAMES)(
    "lost on a link that stays up does not leave a server building: %s",
    {
      timeout: TIMEOUT_MS,
    },
    async (lost) => {
      let links = 0;
      let count = 0;
      world.wire.fates = (label) => {
        if (label === "hello") links += 1;
        if (label !== lost) return "pass";
        count += 1;
        return count === 1 ? "drop" : "pass";
      };
      const id = await world.boot();
      expect(await world.settled(id)).toMatchObject({ status: "ACTIVE", power: 1 });
      expect([count > 0, links]).toEqual([true, 0]);
      await world.clear();
      await heals(world);
    },
  );

  it("doubled, and late, does not start a guest that was stopped since", { timeout: TIMEOUT_MS }, async () => {
    let late: Promise<void> | undefined;
    world.wire.fates = (label) => {
      if (label !== "call spawn") return "pass";
      late = new Promise((resolve) => setTimeout(resolve, 2 * LATE_MS));
      return { again: LATE_MS };
    };
    const id = await world.boot();
    await world.settled(id);
    expect((await world.call("POST", `/servers/${id}/action`, { "os-stop": null })).status).toBe(202);
    expect(await world.settled(id)).toMatchObject({ status: "SHUTOFF", power: 4 });
    const [off] = world.guests();
    await late;
    expect(world.guests()).toEqual([off]);
    await heals(world);
    await world.clear();
  });
});
