import { join } from "node:path";
import { beforeEach, expect, it } from "vitest";
import { Calls } from "../../agent/calls.ts";
import { Journal } from "../../agent/journal.ts";
import { every } from "../../agent/periodic.ts";
import { Reconcile } from "../../agent/reconcile.ts";
import type { FromAgent } from "../../functions/protocol/frames.ts";
import { call, gate, NO_SNAPSHOTS, OTHER, recordingLog, SERVER, temporaryDir, until } from "./agent-support.ts";
import { TinyDriver } from "./agent-tiny-driver.ts";

let driver: TinyDriver;
let calls: Calls;
let reconcile: Reconcile;
let sent: FromAgent[];
let up: boolean;

beforeEach(() => {
  driver = new TinyDriver();
  sent = [];
  up = true;
  const { log } = recordingLog();
  const journal = new Journal(join(temporaryDir(), "journal.db"));
  const host = { openConsole: async () => undefined, cacheImage: async () => true, snapshots: NO_SNAPSHOTS };
  calls = new Calls({ driver, journal, log, maxBuilds: 10, ...host });
  const send = (frame: FromAgent) => {
    if (up) sent.push(frame);
    return up;
  };
  reconcile = new Reconcile({ driver, journal, calls, log, host: "hv1", version: "0", send });
  return () => journal.close();
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
  driver.emit({ uuid: SERVER, power_state: 4 });
  expect(sent).toEqual([{ t: "report", guests: [{ server: SERVER, generation: 2, power_state: 4 }] }]);
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

it("sends the inventory when it is not what the edge heard last", async () => {
  await reconcile.hello();
  await reconcile.updateResources();
  expect(sent).toEqual([]);
  driver.inventory = { ...driver.inventory, vcpus: 16 };
  up = false;
  await reconcile.updateResources();
  up = true;
  await reconcile.updateResources();
  await reconcile.updateResources();
  // Its own address, which is the machine's, is told beside.
  expect(sent).toEqual([{ t: "inventory", inventory: expect.objectContaining(driver.inventory) }]);
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
