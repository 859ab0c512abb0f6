/**
 * Moves of a real guest between two real hosts (libvirtd, QEMU under TCG, an agent each), with somebody killed at a moment
 * of chance: the source's agent, the destination's, the edge, a guest that runs, the server by its user, or the way between the
 * hosts at whatever byte it is. What must hold afterwards: the guest is on one host and never on two, and nothing is left
 * of it on the other: no domain, no file, no socket, no claim. move-steps.test.ts has the moments that have a name.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { againIfItFails, Dice, ROUNDS, SEED, told } from "./dice.ts";
import { begin, ends, isWhole, prepare, SLOW, writer } from "./move-cases.ts";
import { staysIn } from "./move-moments.ts";
import { CASE_MS, canMove, MovingWorld, START_MS, type Victim } from "./moving-world.ts";

/** How long each takes when nothing happens, milliseconds, and what passes between the hosts: the moment is somewhere in it. */
const MOVES = {
  "live migration": { takesMs: 5_500, bytes: 19_000_000 },
  migration: { takesMs: 4_500, bytes: 17_400_000 },
  resize: { takesMs: 4_500, bytes: 17_400_000 },
  "resize where it is": { takesMs: 2_500, bytes: 0 },
} as const;
type MoveName = keyof typeof MOVES;
const VICTIMS: readonly Victim[] = ["source", "destination", "edge", "all", "guest", "way", "user"];
type Case = { flow: MoveName; victim: Victim };

/** A guest that is killed as its host starts it has failed to start, and that is an operator's to mend. */
const isCase = ({ flow, victim }: Case) =>
  victim === "destination" ? !staysIn(flow) : victim !== "guest" || flow === "live migration";
const ALL: Case[] = (Object.keys(MOVES) as MoveName[])
  .flatMap((flow) => VICTIMS.map((victim) => ({ flow, victim })))
  .filter(isCase);

describe.skipIf(!canMove)("a server on its way", () => {
  const dice = new Dice(SEED);
  let world: MovingWorld;
  beforeAll(async () => {
    world = await MovingWorld.start({ toml: SLOW });
  }, START_MS);
  afterEach(() => world.sweep(), START_MS);
  afterAll(() => world?.close(), START_MS);

  it.each(new Dice(SEED).shuffled(ALL).slice(0, ROUNDS))(
    "$flow, $victim killed",
    { timeout: CASE_MS },
    async ({ flow, victim }) => {
      againIfItFails();
      const server = await writer(world);
      const { id, source } = server;
      await prepare(world, flow, server);
      const { takesMs, bytes } = MOVES[flow];
      const part = dice.next();
      const wire = world.wires[source];
      const before = wire.passed;
      // A move that is all done by then is none that a cut could touch.
      const moment =
        victim === "way" ? Promise.race([wire.passes(part * bytes), sleep(2 * takesMs)]) : sleep(part * takesMs);
      let passed = 0;
      const end = await world.watched(id, async () => {
        await begin(world, flow, server);
        await moment;
        passed = wire.passed - before;
        await world.befall(victim, source, id, dice);
        return ends(world, { flow, victim }, server, dice);
      });
      told(
        `${flow}, ${victim} killed after ${Math.round(part * takesMs)} ms, ${passed} bytes of ${wire.passed - before}: ` +
          `it rests ${end?.status} on ${end?.host}, ${await world.moves(id)} ${end?.fault ?? ""}`,
      );
      if (victim === "user") expect(end).toBeNull();
      await isWhole(world, server, end);
    },
  );
});
