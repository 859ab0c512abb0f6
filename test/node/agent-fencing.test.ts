/** Guests run only while there was word of the edge within the lease, whatever became of the agent meanwhile. */
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { Fencing } from "../../agent/fencing.ts";
import { Journal } from "../../agent/journal.ts";
import { Link } from "../../agent/link.ts";
import { leaseIsOverAt } from "../../functions/compute/lease.ts";
import { POWER_STATE } from "../../functions/protocol/guest.ts";
import { ScriptedEdge } from "./agent-scripted-edge.ts";
import { callsOf, OTHER, recordingLog, SERVER, SIGNER, temporaryDir, until } from "./agent-support.ts";
import { TinyDriver } from "./agent-tiny-driver.ts";

function world() {
  const stateDir = temporaryDir();
  const driver = new TinyDriver();
  const logged = recordingLog();
  const journal = new Journal(join(stateDir, "journal.db"), SIGNER);
  const calls = callsOf({ driver, journal, log: logged.log });
  driver.guests.set(SERVER, POWER_STATE.RUNNING).set(OTHER, POWER_STATE.PAUSED);
  const clock = { now: 1000, boot: "one" };
  const agent = () => {
    const fencing = new Fencing({ stateDir, driver, calls, boot: clock.boot, log: logged.log, now: () => clock.now });
    onTestFinished(() => fencing.stop());
    return fencing;
  };
  onTestFinished(() => journal.close());
  const off = () => [...driver.guests.values()].every((power) => power === POWER_STATE.SHUTDOWN);
  return { driver, logged, clock, agent, off };
}

it("switches every guest off once the lease is over, and none before", async () => {
  const { driver, clock, agent, off } = world();
  const fencing = agent();
  fencing.welcomed(60, clock.now);
  clock.now += 60;
  await fencing.start();
  expect(driver.done).toEqual([]);
  fencing.heard(clock.now);
  clock.now += 60;
  expect(fencing.isOver).toBe(false);
  clock.now += 1;
  expect(fencing.isOver).toBe(true);
  await until(off, "the guests are off");
  const done = driver.done.length;
  fencing.heard(clock.now);
  expect(fencing.isOver).toBe(false);
  expect(driver.done).toHaveLength(done);
});

it("counts from when the ping was sent, and never back", () => {
  const { clock, agent } = world();
  const fencing = agent();
  fencing.welcomed(60, 1000);
  clock.now = 1050;
  fencing.heard(1010);
  fencing.heard(1005);
  clock.now = 1071;
  expect(fencing.isOver).toBe(true);
});

it("tries again what a driver could not do", async () => {
  const { driver, clock, agent, off, logged } = world();
  const fencing = agent();
  fencing.welcomed(60, clock.now);
  clock.now += 61;
  driver.stopping = async () => {
    driver.stopping = async () => undefined;
    throw new Error("not now");
  };
  await fencing.start();
  expect(logged.events()).toContain("lease.switch_off_failed");
  await until(off, "the guests are off");
});

it("outlives the agent, and the host's sleep", async () => {
  const { clock, agent, off } = world();
  agent().welcomed(60, clock.now);
  clock.now += 10;
  expect(agent().isOver).toBe(false);
  clock.now += 3600;
  const late = agent();
  expect(late.isOver).toBe(true);
  await late.start();
  expect(off()).toBe(true);
});

it("starts nothing after a restart of the host before the edge has spoken", () => {
  const { clock, agent } = world();
  agent().welcomed(60, clock.now);
  Object.assign(clock, { boot: "two", now: 5 });
  const fencing = agent();
  expect(fencing.isOver).toBe(true);
  fencing.welcomed(60, 6);
  expect(fencing.isOver).toBe(false);
});

it("is nothing where the edge gives no lease, or takes it back", async () => {
  const { driver, clock, agent } = world();
  const fencing = agent();
  fencing.welcomed(undefined, clock.now);
  fencing.welcomed(60, clock.now);
  fencing.welcomed(undefined, clock.now);
  clock.now += 10_000;
  await fencing.start();
  expect(fencing.isOver).toBe(false);
  expect(agent().isOver).toBe(false);
  expect(driver.done).toEqual([]);
});

it("hears of its lease, and of the edge, by the link", async () => {
  const edge = await new ScriptedEdge().start();
  onTestFinished(() => edge.stop());
  edge.onFrame = (link) => edge.tell(link, { t: "welcome", version: 1, report_interval: 0.1, lease: 60 });
  const told: unknown[] = [];
  const heard: number[] = [];
  const link = new Link({
    identity: { edge: edge.url, host: "hv1", assertion: async () => "signed" },
    hello: async () => ({ t: "report", guests: [] }),
    onCall: async () => ({ ok: true, value: {} }),
    onAck: () => undefined,
    onDeleted: () => undefined,
    onConsoleNoted: () => undefined,
    onWelcome: (lease, at) => void told.push({ lease, at }),
    onHeard: (at) => void heard.push(at),
    log: recordingLog().log,
  });
  const ended = link.run();
  await until(() => heard.length >= 2, "two answers");
  await link.stop();
  await ended;
  expect(told).toEqual([{ lease: 60, at: expect.any(Number) }]);
  expect(heard).toEqual([...heard].sort((a, b) => a - b));
});

it("is over at the edge only when it is over at the host, and the host had time to act on it", () => {
  expect(leaseIsOverAt(1_000_000, 60, 2_000_000)).toBeGreaterThan(1_000_000 + 60_000);
  expect(leaseIsOverAt(null, 60, 5)).toBe(5);
});
