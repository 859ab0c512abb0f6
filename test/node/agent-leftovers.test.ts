/** What an agent does about what deleted servers left on its host, and when it refuses a host at all. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import type { Calls } from "../../agent/calls.ts";
import { type AgentConfig, parseConfig } from "../../agent/config.ts";
import { DeletedGuests } from "../../agent/deleted-guests.ts";
import { DriverError } from "../../agent/drivers/driver.ts";
import { Journal } from "../../agent/journal.ts";
import { ensureNodeIdentity } from "../../agent/node-identity.ts";
import { call, callsOf, OTHER, recordingLog, SERVER, SIGNER, temporaryDir, until } from "./agent-support.ts";
import { TinyDriver } from "./agent-tiny-driver.ts";

let driver: TinyDriver;
let journal: Journal;
let calls: Calls;
let logged: ReturnType<typeof recordingLog>;
let clock: number;

beforeEach(() => {
  driver = new TinyDriver();
  logged = recordingLog();
  clock = 1_000_000;
  journal = new Journal(join(temporaryDir(), "journal.db"), SIGNER);
  calls = callsOf({ driver, journal, log: logged.log });
  return () => journal.close();
});

function guests(change: Partial<AgentConfig> = {}): DeletedGuests {
  const config = { ...parseConfig(""), ...change };
  return new DeletedGuests({ driver, journal, calls, log: logged.log, config, now: () => clock });
}
const DELETED = [{ server: SERVER, generation: 1, at: 1_000_000 }];
const found = () => logged.events().filter((event) => event === "guest.deleted_found").length;

describe("a guest whose server is deleted", () => {
  beforeEach(() => void driver.guests.set(SERVER, 1));

  it("is reaped at once, and remembered as gone", async () => {
    guests().told(DELETED);
    await until(() => !driver.guests.has(SERVER), "it is gone");
    await calls.idle();
    expect(journal.guest(SERVER)).toEqual({ generation: 1, destroyed: true });
  });

  it("is only switched off, where that is what operators want, and once", async () => {
    const deleted = guests({ running_deleted_instance_action: "shutdown" });
    deleted.told(DELETED);
    await until(() => driver.guests.get(SERVER) === 4, "it is off");
    await deleted.cleanUp();
    expect(driver.done).toEqual([`power_off ${SERVER}`]);
    expect(journal.guest(SERVER)).toBeNull();
  });

  it("is only told of again and again", async () => {
    const deleted = guests({ running_deleted_instance_action: "log" });
    deleted.told(DELETED);
    deleted.told(DELETED);
    await deleted.cleanUp();
    expect([driver.done, found()]).toEqual([[], 2]);
  });

  it.each([{ running_deleted_instance_action: "noop" } as const, { running_deleted_instance_poll_interval: -1 }])(
    "is nobody's matter: %j",
    async (config) => {
      const deleted = guests(config);
      deleted.told(DELETED);
      await deleted.cleanUp();
      expect([driver.done, found()]).toEqual([[], 0]);
    },
  );

  it("has its time, and goes at the first look after it", async () => {
    const deleted = guests({ running_deleted_instance_timeout: 60 });
    deleted.told(DELETED);
    clock += 59_999;
    await deleted.cleanUp();
    expect(driver.done).toEqual([]);
    clock += 1;
    await deleted.cleanUp();
    expect(driver.done).toEqual([`destroy ${SERVER}`]);
  });

  it("is tried again when it could not be destroyed", async () => {
    const destroy = driver.destroy.bind(driver);
    driver.destroy = () => Promise.reject(new DriverError("Unexpected", "busy"));
    const deleted = guests();
    await deleted.cleanUp();
    deleted.told(DELETED);
    await until(() => logged.events().includes("call.done"), "a try");
    driver.destroy = destroy;
    await deleted.cleanUp();
    expect(driver.guests.has(SERVER)).toBe(false);
    await deleted.cleanUp();
    expect(driver.done).toEqual([`destroy ${SERVER}`]);
  });

  it("lives when it was built anew meanwhile", async () => {
    await calls.handle(call("a", "spawn", { generation: 2 }));
    guests().told(DELETED);
    await until(() => found() === 1, "it is found");
    await calls.idle();
    expect(driver.guests.get(SERVER)).toBe(1);
  });
});

describe("files without a guest", () => {
  it("go when their guest was destroyed; others are never touched", async () => {
    await calls.handle(call("a", "spawn"));
    await calls.handle(call("b", "destroy"));
    await calls.handle(call("c", "spawn", { server: OTHER }));
    driver.done.length = 0;
    driver.leftovers = [SERVER, OTHER, "33333333-3333-4333-8333-333333333333"];
    await guests().deleteFiles();
    expect(driver.done).toEqual([`destroy ${SERVER}`]);
  });

  it("are tried so many times", async () => {
    await calls.handle(call("a", "destroy"));
    driver.leftovers = [SERVER];
    let tries = 0;
    driver.destroy = async () => {
      tries += 1;
      throw new DriverError("Unexpected", "busy");
    };
    const deleted = guests({ maximum_instance_delete_attempts: 3 });
    for (let i = 0; i < 5; i++) await deleted.deleteFiles();
    expect(tries).toBe(3);
  });
});

describe("a host", () => {
  let stateDir: string;
  beforeEach(() => {
    stateDir = temporaryDir();
  });
  const check = (name = "hv1") => ensureNodeIdentity({ stateDir, journal, driver }, name);
  const names = () => JSON.parse(readFileSync(join(stateDir, "node.json"), "utf8"));
  const built = () => calls.handle(call("a", "spawn"));

  it("is taken when nothing is known of it, and after that as it is", async () => {
    await check();
    await built();
    await check();
    expect(names()).toEqual({ name: "hv1", node: "tiny" });
  });

  it("is refused by a new agent when it has guests of another's", async () => {
    driver.guests.set(SERVER, 1);
    await expect(check()).rejects.toThrow(`this agent is new, and the hypervisor has 1 guests`);
  });

  it("is taken again by an agent that has lost its journal alone", async () => {
    await check();
    driver.guests.set(SERVER, 1);
    await check();
  });

  it("is not refused by an agent of before, whose journal has guests", async () => {
    await built();
    await check();
  });

  it("may change its names while it has no guests, and not while it has some", async () => {
    await check();
    await check("hv2");
    driver.inventory = { ...driver.inventory, hypervisor_hostname: "other" };
    await check("hv2");
    await built();
    await expect(check("hv3")).rejects.toThrow("this host's name at the edge was hv2 and is now hv3");
    driver.inventory = { ...driver.inventory, hypervisor_hostname: "third" };
    await expect(check("hv2")).rejects.toThrow("the hypervisor's host name was other and is now third");
    await calls.handle(call("b", "destroy"));
    await check("hv2");
    expect(names()).toEqual({ name: "hv2", node: "third" });
  });
});
