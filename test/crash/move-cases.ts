/** What the crash tests of moves do with a server, whatever befalls it. */
import { expect, onTestFinished } from "vitest";
import { until } from "../edge.ts";
import type { Dice } from "./dice.ts";
import { type FlowName, staysIn } from "./move-moments.ts";
import { type HostName, type MovingWorld, other, SETTLED_MS, type Victim } from "./moving-world.ts";
import type { Shown } from "./shown.ts";

/** `written`: MiB that its guest has written to its disk. */
export type Underway = { id: string; source: HostName; written: number };
/** At the rate of SLOW, long enough for something to happen as they are copied. */
export const WRITTEN = 16;
/** An agent.toml: MiB/s. */
export const SLOW = "migration_bandwidth = 8\n";

export async function answers(status: number, response: Promise<Response>): Promise<void> {
  const { status: found } = await response;
  expect(found).toBe(status);
}

/** A server that runs. */
export async function runner(world: MovingWorld): Promise<Underway> {
  const { id, host: source } = await world.running();
  return { id, source, written: 0 };
}

/** A server that runs, and has written something to its disk. */
export async function writer(world: MovingWorld, change: Record<string, unknown> = {}): Promise<Underway> {
  const { id, host } = await world.running(change);
  await answers(202, world.act(id, { "os-stop": null }));
  expect(await world.settled(id)).toMatchObject({ status: "SHUTOFF" });
  await world.hosts[host].writeDisk(id, WRITTEN);
  await answers(202, world.act(id, { "os-start": null }));
  expect(await world.settled(id)).toMatchObject({ status: "ACTIVE" });
  return { id, source: host, written: WRITTEN };
}

/** The host that the flow is to bring it to. */
const goalOf = (flow: FlowName, source: HostName) => (staysIn(flow) ? source : other(source));

/** Brings a server from `source` to where the flow begins. */
export async function prepare(world: MovingWorld, flow: FlowName, { id, source }: Underway): Promise<void> {
  if (staysIn(flow)) {
    onTestFinished(() => world.take(other(source), "enabled"));
    await world.take(other(source), "disabled");
  }
  if (flow.startsWith("confirm") || flow.startsWith("revert")) {
    await answers(202, world.act(id, { resize: { flavorRef: "2" } }));
    expect(await world.settled(id)).toMatchObject({ status: "VERIFY_RESIZE", host: goalOf(flow, source) });
  }
  if (flow === "evacuation") await world.lose(source, id);
}

export function begin(world: MovingWorld, flow: FlowName, { id }: Underway): Promise<void> {
  switch (flow) {
    case "live migration":
      return answers(202, world.act(id, { "os-migrateLive": { host: null, block_migration: "auto" } }));
    case "migration":
      return answers(202, world.act(id, { migrate: null }));
    case "resize":
    case "resize where it is":
      return answers(202, world.act(id, { resize: { flavorRef: "2" } }));
    case "confirm":
    case "confirm where it is":
      return answers(204, world.act(id, { confirmResize: null }));
    case "revert":
    case "revert where it is":
      return answers(202, world.act(id, { revertResize: null }));
    case "evacuation":
      return answers(200, world.act(id, { evacuate: {} }, 79));
    default:
      return flow satisfies never;
  }
}

/** Where it comes to rest, once all hosts are back and a resize is confirmed or reverted; null when it is gone. */
export async function ends(
  world: MovingWorld,
  { flow, victim }: { flow: FlowName; victim: Victim },
  { id, source }: Underway,
  dice: Dice,
): Promise<Shown | null> {
  let end = await world.settled(id);
  if (flow === "evacuation") await world.welcome(source);
  if (end?.status === "VERIFY_RESIZE") {
    expect(end.host).toBe(goalOf(flow, source));
    const confirm = dice.next() < 0.5;
    await answers(confirm ? 204 : 202, world.act(id, confirm ? { confirmResize: null } : { revertResize: null }));
    end = await world.settled(id);
    expect(end?.host).toBe(confirm ? goalOf(flow, source) : source);
  }
  // A guest that ended by itself is found out by the next look at it.
  if (victim === "guest" && (await world.domains(id)).running.length === 0) {
    await until(async () => (await world.show(id))?.status === "SHUTOFF", "it is known to be off", SETTLED_MS);
    end = await world.settled(id);
  }
  return end;
}

/** It is in one place and can be used there, or nowhere; and nothing is left of it once it is deleted. */
export async function isWhole(world: MovingWorld, { id, written }: Underway, end: Shown | null): Promise<void> {
  if (end !== null) expect(["ACTIVE", "SHUTOFF"], JSON.stringify(end)).toContain(end.status);
  await world.isAllOf(id, end);
  if (end !== null && written > 0) {
    expect(await world.hosts[end.host as HostName].readsDisk(id, written), "its disk is as it was").toBe(true);
  }
  if (end?.status === "SHUTOFF") {
    await answers(202, world.act(id, { "os-start": null }));
    expect(await world.settled(id)).toMatchObject({ status: "ACTIVE", host: end.host });
  }
  await world.clear(id);
}
