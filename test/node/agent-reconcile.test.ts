import { join } from "node:path";
import { beforeEach, expect, it } from "vitest";
import type { Calls } from "../../agent/calls.ts";
import { Journal } from "../../agent/journal.ts";
import { Measuring } from "../../agent/monitors/measuring.ts";
import { every } from "../../agent/periodic.ts";
import { Reconcile, type ReconcileOptions } from "../../agent/reconcile.ts";
import { ResourceTracker } from "../../agent/resource-tracker.ts";
import type { FromAgent } from "../../functions/protocol/frames.ts";
import { call, callsOf, gate, OTHER, recordingLog, SERVER, SIGNER, temporaryDir, until } from "./agent-support.ts";
import { TinyDriver } from "./agent-tiny-driver.ts";

let driver: TinyDriver;
let calls: Calls;
let reconcile: Reconcile;
let sent: FromAgent[];
let up: boolean;
let journal: Journal;
let resuming: Set<string>;
let make: (change?: Partial<ReconcileOptions>) => Reconcile;

beforeEach(() => {
  driver = new TinyDriver();
  sent = [];
  up = true;
  const { log } = recordingLog();
  journal = new Journal(join(temporaryDir(), "journal.db"), SIGNER);
  calls = callsOf({ driver, journal, log });
  const send = (frame: FromAgent) => {
    if (up) sent.push(frame);
    return up;
  };
  const tracker = new ResourceTracker({ driver, measuring: new Measuring([], log), config: {}, send });
  resuming = new Set();
  const given = { driver, tracker, journal, calls, log, host: "hv1", version: "0", send, resuming: () => resuming };
  make = (change) => {
    reconcile = new Reconcile({ ...given, events: true, offMs: { told: 1, kept: 1 }, ...change });
    return reconcile;
  };
  make();
  return () => {
    reconcile.stop();
    journal.close();
  };
});

it("says hello with every guest at the generation the edge gave it, and 0 for one the journal does not know", async () => {
  await calls.handle(call("a", "spawn", { generation: 7 }));
  driver.guests.set(OTHER, 4);
  expect(await reconcile.hello()).toMatchObject({
    host: "hv1",
    inventory: driver.inventory,
    guests: [
      { server: SERVER, generation: 7, power_state: 1 },
      { server: OTHER, generation: 0, power_state: 4 },
    ],
  });
});

it("reports a change at once, and one that came while the link was being made when it is up", async () => {
  await calls.handle(call("a", "spawn", { generation: 2 }));
  driver.emit({ uuid: SERVER, power_state: 3 });
  expect(sent).toEqual([{ t: "report", guests: [{ server: SERVER, generation: 2, power_state: 3 }] }]);
  sent = [];
  up = false;
  driver.emit({ uuid: OTHER, power_state: 1 });
  await reconcile.hello();
  driver.emit({ uuid: SERVER, power_state: 1 });
  driver.emit({ uuid: SERVER, power_state: 0 });
  up = true;
  reconcile.linked();
  reconcile.linked();
  expect(sent).toEqual([{ t: "report", guests: [{ server: SERVER, generation: 2, power_state: 0 }] }]);
});

it("looks again before it says that a guest went off, and says what it is then", async () => {
  await calls.handle(call("a", "spawn"));
  driver.getInfo = async (uuid) => ({ uuid, power_state: 1 });
  driver.emit({ uuid: SERVER, power_state: 4 });
  await until(() => sent.length > 0, "a report");
  expect(sent).toEqual([{ t: "report", guests: [{ server: SERVER, generation: 1, power_state: 1 }] }]);
});

it("says nothing of guests that go off as their host goes down, and the agent with it", async () => {
  await calls.handle(call("a", "spawn"));
  reconcile.stop();
  make({ offMs: { told: 1_000_000, kept: 1 } });
  driver.emit({ uuid: SERVER, power_state: 4 });
  reconcile.stop();
  await new Promise(setImmediate);
  expect([sent, journal.desired.running()]).toEqual([[], [SERVER]]);
});

it("leaves out of a hello what is started while the guests are listed, and tells of it after", async () => {
  await calls.handle(call("a", "spawn"));
  driver.guests.set(SERVER, 4);
  resuming.add(SERVER);
  const list = gate();
  driver.listing = () => list.opened;
  const hello = reconcile.hello();
  up = false;
  driver.guests.set(SERVER, 1);
  resuming.clear();
  await reconcile.resumed(SERVER);
  list.open();
  expect(await hello).toMatchObject({ guests: [], resuming: [SERVER] });
  up = true;
  reconcile.linked();
  expect(sent).toMatchObject([{ guests: [{ server: SERVER, power_state: 1 }] }]);
});

it("says nothing of a guest that goes off while a call is at work on it: that tells", async () => {
  await calls.handle(call("a", "spawn"));
  const stop = gate();
  driver.stopping = () => stop.opened;
  const stopped = calls.handle(call("b", "power_off"));
  driver.emit({ uuid: SERVER, power_state: 4 });
  stop.open();
  await stopped;
  await until(() => !journal.desired.shouldRun(SERVER), "it is known to be off");
  expect(sent).toEqual([]);
});

it("keeps off after a restart of the host what went off by itself, and stayed so", async () => {
  await calls.handle(call("a", "spawn"));
  await calls.handle(call("b", "spawn", { server: OTHER }));
  expect(journal.desired.running()).toEqual([SERVER, OTHER]);
  driver.emit({ uuid: SERVER, power_state: 4 });
  await until(() => !journal.desired.shouldRun(SERVER), "it is to stay off");
  reconcile.stop();
  make({ offMs: { told: 1, kept: 1_000_000 } });
  driver.emit({ uuid: OTHER, power_state: 4 });
  await until(() => sent.length > 1, "it is told");
  // The host may be going down with it.
  expect(journal.desired.running()).toEqual([OTHER]);
});

it("hears nothing between its looks when events are turned off", async () => {
  reconcile.stop();
  make({ events: false });
  await calls.handle(call("a", "spawn"));
  driver.emit({ uuid: SERVER, power_state: 3 });
  expect(sent).toEqual([]);
  await reconcile.syncPowerStates();
  expect(sent).toMatchObject([{ guests: [{ power_state: 3 }] }]);
});

it("leaves out guests that the agent is about to start, and tells of each when it has, or why it has not", async () => {
  await calls.handle(call("a", "spawn"));
  await calls.handle(call("b", "spawn", { server: OTHER }));
  driver.guests.set(OTHER, 4);
  resuming.add(SERVER).add(OTHER);
  expect(await reconcile.hello()).toMatchObject({ guests: [], resuming: [SERVER, OTHER] });
  await reconcile.syncPowerStates();
  expect(sent).toEqual([]);
  resuming.clear();
  await reconcile.resumed(SERVER);
  up = false;
  await reconcile.resumed(OTHER, "It would not.");
  up = true;
  reconcile.linked();
  await reconcile.syncPowerStates();
  expect(sent.slice(0, 2)).toEqual([
    { t: "report", guests: [{ server: SERVER, generation: 1, power_state: 1 }] },
    { t: "report", guests: [{ server: OTHER, generation: 1, power_state: 4, fault: "It would not." }] },
  ]);
  expect(JSON.stringify(sent.slice(2))).not.toContain("fault");
});

it("takes guests that the record of those that should run does not have on it as they are", async () => {
  await calls.handle(call("a", "spawn"));
  await calls.handle(call("b", "spawn", { server: OTHER }));
  for (const server of [SERVER, OTHER]) journal.desired.note(server, 1, "gone");
  driver.guests.set(OTHER, 4).set("33333333-3333-4333-8333-333333333333", 1);
  await reconcile.hello();
  expect(journal.desired.running()).toEqual([SERVER]);
});

it("does not report as vanished what the edge had destroyed", async () => {
  await calls.handle(call("a", "spawn"));
  await reconcile.hello();
  await calls.handle(call("b", "destroy"));
  driver.emit({ uuid: SERVER, power_state: 0 });
  await reconcile.syncPowerStates();
  expect(sent).toEqual([]);
});

it("syncs all power states and what has vanished, but nothing that a call acted on meanwhile", async () => {
  await calls.handle(call("a", "spawn"));
  await calls.handle(call("b", "spawn", { server: OTHER }));
  await reconcile.hello();
  driver.guests.delete(OTHER);
  await reconcile.syncPowerStates();
  const guests = [
    { server: SERVER, generation: 1, power_state: 1 },
    { server: OTHER, generation: 1, power_state: 0 },
  ];
  expect(sent).toEqual([{ t: "report", guests }]);
  sent = [];
  const list = gate();
  driver.listing = () => list.opened;
  const sync = reconcile.syncPowerStates();
  await calls.handle(call("c", "power_off"));
  list.open();
  await sync;
  expect(sent).toEqual([]);
});

it("runs a periodic task again after it failed, and not after it was stopped", async () => {
  const { log, lines } = recordingLog();
  let runs = 0;
  const run = async () => {
    runs += 1;
    if (runs === 1) throw new Error("once");
  };
  const stop = every({ name: "task", intervalMs: 1, run, log });
  await until(() => runs >= 3, "three runs");
  stop();
  expect(lines).toMatchObject([{ event: "periodic.failed", task: "task" }]);
});

it("tells guests' interfaces when they are news, and all again from time to time; none of a guest that a call acts on", async () => {
  const blue = { network: "blue", mac: "fa:00:00:00:00:01", addresses: ["10.0.0.1"] };
  let interfaces = [blue];
  driver.listNetworks = async () => [
    { uuid: SERVER, power_state: 1, interfaces },
    { uuid: OTHER, power_state: 1, interfaces: [] },
  ];
  const told = async () => {
    sent = [];
    await reconcile.healInfoCache();
    return sent.flatMap((frame) => (frame.t === "report" ? frame.guests : []));
  };
  const own = { server: SERVER, generation: 0, power_state: 1, interfaces };
  expect(await told()).toEqual([own, { ...own, server: OTHER, interfaces: [] }]);
  expect(await told()).toEqual([]);
  interfaces = [{ ...blue, addresses: ["10.0.0.2"] }];
  up = false;
  expect(await told()).toEqual([]);
  up = true;
  expect(await told()).toEqual([{ ...own, interfaces }]);
  expect(await told()).toEqual([]);
  for (let i = 5; i < 10; i++) await told();
  expect(await told()).toHaveLength(2);

  interfaces = [blue];
  const stop = gate();
  driver.stopping = () => stop.opened;
  const off = calls.handle(call("b", "power_off"));
  await driver.listGuests();
  expect(await told()).toEqual([]);
  stop.open();
  await off;
});
