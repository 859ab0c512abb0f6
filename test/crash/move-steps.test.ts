/**
 * Each way of a real guest to another real host x each moment of it by name x what happens then: the source's agent, the
 * destination's, the edge or all of them killed, the ways between them cut, the guest switched off, the server deleted.
 * One case alone: CRASH_ONLY="resize, edge: source: ack send_disks".
 */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { until } from "../edge.ts";
import { againIfItFails, Dice, ROUNDS, SEED, told } from "./dice.ts";
import { begin, ends, isWhole, prepare, type Underway } from "./move-cases.ts";
import { CASES, type Case, title } from "./move-moments.ts";
import { CASE_MS, canMove, MovingWorld, other, SETTLED_MS, START_MS } from "./moving-world.ts";

/** Within this a host is at work on a call, milliseconds: a random part of it goes by. */
const WORK_MS: Partial<Record<string, number>> = { live_migration: 2500 };
const SHORT_WORK_MS = 250;

function chosen(): Case[] {
  const only = process.env.CRASH_ONLY;
  if (only !== undefined) return CASES.filter((one) => title(one) === only);
  return new Dice(SEED).shuffled(CASES).slice(0, ROUNDS);
}

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

describe.skipIf(!canMove)("a server in a step of its way", () => {
  let world: MovingWorld;
  beforeAll(async () => {
    world = await MovingWorld.start();
  }, START_MS);
  afterAll(() => world?.close(), START_MS);

  it.each(chosen().map((one) => ({ ...one, title: title(one) })))("$title", { timeout: CASE_MS }, async (one) => {
    againIfItFails(`CRASH_ONLY="${title(one)}"`);
    const dice = new Dice(SEED);
    const { id, host: source } = await world.running();
    const server = { id, source };
    await prepare(world, one.flow, server);
    const end = await world.watched(id, async () => {
      const release = await reach(world, one, server, dice);
      await world.befall(one.victim, source, id, dice);
      release();
      return ends(world, one, server, dice);
    });
    told(`${title(one)}: it rests ${end?.status} on ${end?.host}, ${await world.moves(id)} ${end?.fault ?? ""}`);
    if (one.victim === "user") expect(end).toBeNull();
    await isWhole(world, id, end);
  });
});
