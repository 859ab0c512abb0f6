/**
 * Each way of a real guest to another real host x each moment of it by name x what happens then: the source's agent, the
 * destination's, the edge or all of them killed, the ways between them cut, the guest switched off, the server deleted.
 * One case alone: CRASH_ONLY="resize, edge: source: ack send_disks".
 */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { until } from "../edge.ts";
import { againIfItFails, Dice, ROUNDS, SEED, told } from "./dice.ts";
import { begin, ends, isWhole, prepare, runner, SLOW, type Underway, writer } from "./move-cases.ts";
import { type Case, chosen, title } from "./move-moments.ts";
import { CASE_MS, canMove, MovingWorld, other, SETTLED_MS, START_MS } from "./moving-world.ts";

/** Within this a host is at work on a call, milliseconds: a random part of it goes by. */
const WORK_MS: Partial<Record<string, number>> = { live_migration: 4500, receive_disks: 2500, send_disks: 2500 };
const SHORT_WORK_MS = 250;

/** Begins the flow, and resolves when it is in that moment. */
async function reach(world: MovingWorld, { flow, moment }: Case, server: Underway, dice: Dice): Promise<() => void> {
  const { id, source } = server;
  const [end = "", label = ""] = moment.split(": ");
  const method = label.startsWith("while ") ? label.slice("while ".length) : null;
  const hold = world.wires[end === "source" ? source : other(source)].hold(method ? `call ${method}` : label);
  await begin(world, flow, server);
  if (flow === "evacuation" && end === "source") {
    // What is left at the source goes when that is back.
    expect(await world.settled(id)).toMatchObject({ status: "ACTIVE", host: other(source) });
    await world.return(source);
  }
  const reached = async () => Promise.race([hold.reached.then(() => true), sleep(25).then(() => false)]);
  await until(reached, `${moment} is reached`, SETTLED_MS);
  if (method === null) return hold.release;
  hold.release();
  await sleep((WORK_MS[method] ?? SHORT_WORK_MS) * dice.next());
  return () => undefined;
}

const HALF = Math.ceil(ROUNDS / 2);

describe.skipIf(!canMove).each([
  { storage: "own storage", count: HALF },
  { storage: "shared storage", count: HALF },
] as const)("a server in a step of its way, on $storage", ({ storage, count }) => {
  let world: MovingWorld;
  beforeAll(async () => {
    world = await MovingWorld.start({ toml: SLOW, shared: storage === "shared storage" });
  }, START_MS);
  afterEach(() => world.sweep(), START_MS);
  afterAll(() => world?.close(), START_MS);

  // "$title" would be cut off after 40 characters.
  it.each(chosen(storage, new Dice(SEED), count).map((one) => [title(one), one] as const))(
    "%s",
    { timeout: CASE_MS },
    async (_, one) => {
      againIfItFails(`CRASH_ONLY="${title(one)}"`);
      const dice = new Dice(SEED);
      const slow = Object.keys(WORK_MS).some((method) => one.moment.endsWith(`while ${method}`));
      // Elsewhere an evacuated server begins from its image again, and has nothing to lose.
      const keeps = slow || (one.flow === "evacuation" && storage === "shared storage");
      const server = keeps ? await writer(world) : await runner(world);
      const { id, source } = server;
      await prepare(world, one.flow, server);
      const end = await world.watched(id, async () => {
        const release = await reach(world, one, server, dice);
        await world.befall(one.victim, source, id, dice);
        release();
        return ends(world, one, server, dice);
      });
      told(
        `${title(one)} (${storage}): it rests ${end?.status} on ${end?.host}, ${await world.moves(id)} ${end?.fault ?? ""}`,
      );
      if (one.victim === "user") expect(end).toBeNull();
      await isWhole(world, server, end);
    },
  );
});
