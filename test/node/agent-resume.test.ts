/** After a restart of the host: which guests are started, when, and what is said of those that are not. */
import { join } from "node:path";
import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { DriverError } from "../../agent/drivers/driver.ts";
import { Journal } from "../../agent/journal.ts";
import { Resume } from "../../agent/resume.ts";
import type { PowerState } from "../../functions/protocol/guest.ts";
import { call, callsOf, gate, OTHER, recordingLog, SERVER, SIGNER, temporaryDir, until } from "./agent-support.ts";
import { TinyDriver } from "./agent-tiny-driver.ts";

let dir: string;
let driver: TinyDriver;
let logged: ReturnType<typeof recordingLog>;

beforeEach(() => {
  dir = temporaryDir();
  driver = new TinyDriver();
  logged = recordingLog();
});

function agent(enabled = true) {
  const journal = new Journal(join(dir, "journal.db"), SIGNER);
  const { log } = logged;
  const calls = callsOf({ driver, journal, log });
  const resume = new Resume({ driver, journal, calls, log, enabled });
  const told: [string, string?][] = [];
  const close = () => {
    resume.stop();
    journal.close();
  };
  onTestFinished(() => {
    try {
      close();
    } catch {
      // The test has closed it.
    }
  });
  return {
    journal,
    calls,
    resume,
    told,
    close,
    begin: () => resume.begin((uuid, fault) => void told.push(fault === undefined ? [uuid] : [uuid, fault])),
  };
}

/** A host with these guests, which were left so by calls, and was then restarted: none of them runs. */
async function restarted(guests: Record<string, "run" | "stop" | "pause">): Promise<void> {
  const before = agent();
  await (await before.begin()).ended;
  for (const [server, left] of Object.entries(guests)) {
    await before.calls.handle(call(`${server}-spawn`, "spawn", { server }));
    if (left === "stop") await before.calls.handle(call(`${server}-off`, "power_off", { server }));
    if (left === "pause") await before.calls.handle(call(`${server}-pause`, "pause", { server }));
  }
  before.close();
  for (const server of driver.guests.keys()) driver.guests.set(server, 4);
  driver.boot = "two";
  driver.done.length = 0;
}
const THIRD = "33333333-3333-4333-8333-333333333333";

it("starts those that ran, and leaves off what its user stopped or paused", async () => {
  await restarted({ [SERVER]: "run", [OTHER]: "stop", [THIRD]: "pause" });
  const { begin, resume, told } = agent();
  const { ended } = await begin();
  expect([...resume.pending]).toEqual([SERVER]);
  await ended;
  expect(driver.done).toEqual([`power_on ${SERVER}`]);
  expect([[...resume.pending], told]).toEqual([[], [[SERVER]]]);
});

it("starts them once, however often the agent is started", async () => {
  await restarted({ [SERVER]: "run" });
  for (let i = 0; i < 3; i++) {
    const { begin, close } = agent();
    await (await begin()).ended;
    close();
    driver.guests.set(SERVER, 4);
  }
  expect(driver.done).toEqual([`power_on ${SERVER}`]);
});

it("goes on where an agent was cut off", async () => {
  await restarted({ [SERVER]: "run" });
  const power = gate();
  const powerOn = driver.powerOn.bind(driver);
  driver.powerOn = () => power.opened;
  const first = agent();
  const { ended } = await first.begin();
  first.resume.stop();
  power.open();
  await ended;
  first.close();
  driver.powerOn = powerOn;
  const { begin } = agent();
  await (await begin()).ended;
  expect(driver.done).toEqual([`power_on ${SERVER}`]);
});

it("starts none where that is turned off, nor later when it is turned on", async () => {
  await restarted({ [SERVER]: "run" });
  for (const enabled of [false, true]) {
    const { begin, close } = agent(enabled);
    await (await begin()).ended;
    close();
  }
  expect(driver.done).toEqual([]);
  expect(logged.lines).toContainEqual({ event: "host.restarted", guests: 1, resume: false, record: "good" });
});

it("starts none when the host was not restarted, or the driver cannot tell", async () => {
  await restarted({ [SERVER]: "run" });
  for (const boot of ["one", null]) {
    driver.boot = boot;
    const { begin, close } = agent();
    await (await begin()).ended;
    close();
  }
  expect(driver.done).toEqual([]);
});

it("starts none by a record that it did not sign, and says so", async () => {
  await restarted({ [SERVER]: "run", [OTHER]: "stop" });
  const { DatabaseSync } = await import("node:sqlite");
  const db = new DatabaseSync(join(dir, "journal.db"));
  db.exec("UPDATE desired SET should_run = 1");
  db.close();
  const { begin } = agent();
  await (await begin()).ended;
  expect(driver.done).toEqual([]);
  expect(logged.events()).toContain("desired.broken");
});

it("leaves a guest that runs, or that is not there", async () => {
  await restarted({ [SERVER]: "run", [OTHER]: "run" });
  driver.guests.set(SERVER, 1);
  driver.guests.delete(OTHER);
  const { begin, told } = agent();
  await (await begin()).ended;
  expect([driver.done, told]).toEqual([[], []]);
  expect(logged.lines).toContainEqual({ event: "guest.missing", server: OTHER });
});

it("goes on with a guest that its host put to sleep", async () => {
  await restarted({ [SERVER]: "run" });
  driver.guests.set(SERVER, 7);
  const { begin } = agent();
  await (await begin()).ended;
  expect(driver.done).toEqual([`power_on ${SERVER}`]);
});

describe("while guests start", () => {
  it("one that fails is told with the reason, and stops no other", async () => {
    await restarted({ [SERVER]: "run", [OTHER]: "run" });
    const powerOn = driver.powerOn.bind(driver);
    driver.powerOn = async (uuid) => {
      if (uuid === SERVER) throw new DriverError("HypervisorUnavailable", "no room");
      await powerOn(uuid);
    };
    const { begin, told, journal } = agent();
    await (await begin()).ended;
    const why = "The host was restarted, and the guest could not be started again: HypervisorUnavailable: no room";
    expect(new Map(told as [string, string][])).toEqual(
      new Map<string, string | undefined>([
        [SERVER, why],
        [OTHER, undefined],
      ]),
    );
    expect(journal.desired.bootId()).toBe("two");
  });

  it("a call waits its turn, and has the last word", async () => {
    await restarted({ [SERVER]: "run", [OTHER]: "run" });
    const power = gate();
    const powerOn = driver.powerOn.bind(driver);
    driver.powerOn = async (uuid) => {
      await power.opened;
      await powerOn(uuid);
    };
    const { begin, calls } = agent();
    const { ended } = await begin();
    const stopped = calls.handle(call("off", "power_off"));
    const gone = calls.handle(call("end", "destroy", { server: OTHER }));
    power.open();
    await Promise.all([ended, stopped, gone]);
    expect(new Map(driver.guests)).toEqual(new Map([[SERVER, 4]]));
  });

  it("few do at a time", async () => {
    const servers = Array.from({ length: 12 }, (_, i) => `${SERVER.slice(0, -2)}${String(i).padStart(2, "0")}`);
    await restarted(Object.fromEntries(servers.map((server) => [server, "run" as const])));
    let now = 0;
    let most = 0;
    driver.powerOn = async (uuid) => {
      most = Math.max(most, ++now);
      await new Promise((resolve) => setTimeout(resolve, 1));
      now -= 1;
      driver.guests.set(uuid, 1 satisfies PowerState);
    };
    const { begin } = agent();
    await (await begin()).ended;
    expect(most).toBe(4);
    expect(new Set(driver.guests.values())).toEqual(new Set([1]));
  });

  it("a stop of the agent begins no more", async () => {
    await restarted({ [SERVER]: "run" });
    const { begin, resume } = agent();
    resume.stop();
    await (await begin()).ended;
    expect(driver.done).toEqual([]);
    await until(() => resume.pending.size === 1, "it is left for the next agent");
  });
});
