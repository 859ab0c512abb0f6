import { once } from "node:events";
import { access, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DriverError, type GuestInfo } from "../../agent/drivers/driver.ts";
import { FakeDriver } from "../../agent/drivers/fake/fake-driver.ts";
import type { FakeOptions } from "../../agent/drivers/fake/inventory.ts";
import { inventory, POWER_STATE, vncAddress } from "../../functions/protocol/guest.ts";
import type { GuestSpec, ImageRef } from "../../functions/protocol/methods.ts";
import { RfbClient, ZRLE } from "../rfb-client.ts";

const { RUNNING, SHUTDOWN, CRASHED, NOSTATE } = POWER_STATE;
const UUID = "3f2b8c1e-9d47-4a65-b0e2-7c51d8f9a023";
const OTHER = "0b9e2c7d-1111-4a65-b0e2-7c51d8f9a023";

let stateDir: string;
let logs: string[];
let images: string[];
const drivers: FakeDriver[] = [];

beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), "edgenova-fake-"));
  logs = [];
  images = [];
});
afterEach(async () => {
  for (const driver of drivers.splice(0)) await driver.close();
  await rm(stateDir, { recursive: true });
});

async function start(options: FakeOptions = {}, download = async (_: AbortSignal) => {}): Promise<FakeDriver> {
  const log = (event: string) => void logs.push(event);
  const image = async (ref: ImageRef, signal: AbortSignal) => {
    await download(signal);
    images.push(ref.id);
    return "/dev/null";
  };
  const driver = new FakeDriver({ stateDir, log, image }, options);
  drivers.push(driver);
  await driver.init();
  return driver;
}

function spec(metadata: Record<string, string> = {}): GuestSpec {
  return {
    display_name: "web-1 \u00e9",
    instance_name: "instance-00000001",
    project_id: "demo",
    vcpus: 2,
    memory_mb: 2048,
    disk_gb: 20,
    ephemerals: [],
    swap_mb: 0,
    image: { id: "5c2f8c1e-9d47-4a65-b0e2-7c51d8f9a023", disk_format: "qcow2", size: 1, sha512: "0".repeat(128) },
    metadata,
    config_drive: null,
  };
}

const signal = new AbortController().signal;

/** A driver with one guest. */
async function running(metadata: Record<string, string> = {}): Promise<FakeDriver> {
  const driver = await start();
  await driver.spawn(UUID, spec(metadata), signal);
  return driver;
}

async function socketOf(driver: FakeDriver): Promise<string> {
  const address = vncAddress.parse(await driver.getVncConsole(UUID));
  if (address.transport !== "unix") throw new Error("not a unix socket");
  return address.path;
}

async function console(driver: FakeDriver): Promise<RfbClient> {
  const client = RfbClient.over(connect(await socketOf(driver)), { encodings: [ZRLE] });
  await client.ready();
  client.watch();
  await client.waitForScreen(() => true);
  return client;
}

function nextEvent(driver: FakeDriver): Promise<GuestInfo> {
  return new Promise((resolve) => driver.onLifecycle(resolve));
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  const error = await work.catch((reason: unknown) => reason);
  if (!(error instanceof DriverError)) throw new Error(`not a DriverError: ${error}`);
  return error.code;
}

describe("a guest's life", () => {
  it("is built from its image, stopped, started, reset and removed", async () => {
    const driver = await running();
    expect(await driver.getInfo(OTHER)).toBeNull();
    expect(images).toEqual([spec().image.id]);
    expect(await driver.listGuests()).toEqual([{ uuid: UUID, power_state: RUNNING }]);
    await driver.powerOff(UUID);
    expect(await driver.getInfo(UUID)).toEqual({ uuid: UUID, power_state: SHUTDOWN });
    expect(await codeOf(driver.getVncConsole(UUID))).toBe("ConsoleNotAvailable");
    await driver.powerOn(UUID);
    await driver.reboot(UUID, "SOFT");
    expect(await driver.getInfo(UUID)).toEqual({ uuid: UUID, power_state: RUNNING });
    await driver.destroy(UUID);
    expect(await driver.listGuests()).toEqual([]);
    expect(await readdir(stateDir)).toEqual(["guests.json"]);
  });

  it("bears every call twice", async () => {
    const driver = await running();
    const client = await console(driver);
    await driver.spawn(UUID, spec(), signal);
    await driver.powerOn(UUID);
    expect(client.ended).toBe(false);
    for (let i = 0; i < 2; i++) await driver.powerOff(UUID);
    for (let i = 0; i < 2; i++) await driver.powerOn(UUID);
    for (let i = 0; i < 2; i++) await driver.destroy(UUID);
    expect(images).toHaveLength(1);
  });

  it("is started by a reboot, and by a spawn that comes again, when it is off", async () => {
    const driver = await running();
    await driver.powerOff(UUID);
    await driver.reboot(UUID, "HARD");
    await console(driver);
    await driver.powerOff(UUID);
    await driver.spawn(UUID, spec(), signal);
    await console(driver);
  });

  it("keeps calls for one guest in order, also when they come at once", async () => {
    const driver = await start();
    await Promise.all([
      driver.spawn(UUID, spec(), signal),
      driver.powerOff(UUID),
      driver.spawn(OTHER, spec(), signal),
      driver.reboot(UUID, "HARD"),
      driver.powerOff(UUID),
    ]);
    expect(await driver.getInfo(UUID)).toMatchObject({ power_state: SHUTDOWN });
    expect(await driver.getInfo(OTHER)).toMatchObject({ power_state: RUNNING });
  });

  it("is not found before it is made", async () => {
    const driver = await start();
    for (const work of [driver.powerOn(UUID), driver.powerOff(UUID), driver.reboot(UUID, "HARD")]) {
      expect(await codeOf(work)).toBe("InstanceNotFound");
    }
    expect(await codeOf(driver.getVncConsole(UUID))).toBe("InstanceNotFound");
    await driver.destroy(UUID);
  });

  it("has an id that is no path", async () => {
    const driver = await start();
    expect(await codeOf(driver.destroy("../x"))).toBe("InvalidCall");
    expect(await codeOf(driver.spawn("..", spec(), signal))).toBe("InvalidCall");
  });

  it("lives on a host with an inventory", async () => {
    const driver = await start({ hostname: "fake-7", vcpus: 4 });
    const resources = await driver.getAvailableResource();
    expect(inventory.parse(resources)).toMatchObject({
      hypervisor_hostname: "fake-7",
      hypervisor_type: "fake",
      vcpus: 4,
    });
  });
});

describe("its console", () => {
  it("shows the screen, and what is typed on it", async () => {
    const driver = await running();
    const client = await console(driver);
    expect(client.screen.name).toBe("web-1 \u00e9");
    const before = client.screen.area(36, 246, 400, 24);
    client.type("hello");
    await client.waitForScreen((screen) => !screen.area(36, 246, 400, 24).equals(before));
  });

  it("stays through a reset and ends when the guest is switched off or removed", async () => {
    const driver = await running();
    const first = await console(driver);
    await driver.reboot(UUID, "HARD");
    first.type("x");
    const updates = first.updates;
    await first.waitForScreen(() => first.updates > updates);
    await driver.powerOff(UUID);
    await first.waitForEnd();
    await driver.powerOn(UUID);
    const second = await console(driver);
    await driver.destroy(UUID);
    await second.waitForEnd();
  });

  it("is open to this user only, in a folder that is made short when it must be", async () => {
    const long = join(stateDir, "a".repeat(100));
    const driver = new FakeDriver({ stateDir: long, log: () => {}, image: async () => "" });
    drivers.push(driver);
    for (const each of [await start(), driver]) {
      await each.spawn(UUID, spec(), signal);
      const path = await socketOf(each);
      expect(Buffer.byteLength(path)).toBeLessThanOrEqual(107);
      expect((await stat(dirname(path))).mode & 0o777).toBe(0o700);
      await console(each);
      await each.destroy(UUID);
      await expect(access(dirname(path))).rejects.toThrow("ENOENT");
    }
  });
});

describe("a restart of the agent", () => {
  it("finds the same guests in the same state, the screens served again, the uptime counted on", async () => {
    const before = await running();
    await before.spawn(OTHER, spec(), signal);
    await before.powerOff(OTHER);
    const client = await console(before);
    const stored = await readFile(join(stateDir, "guests.json"), "utf8");
    await before.close();
    await client.waitForEnd();

    const after = await start();
    expect(await after.listGuests()).toEqual([
      { uuid: UUID, power_state: RUNNING },
      { uuid: OTHER, power_state: SHUTDOWN },
    ]);
    await console(after);
    expect(await codeOf(after.getVncConsole(OTHER))).toBe("ConsoleNotAvailable");
    await after.powerOn(UUID);
    expect(await readFile(join(stateDir, "guests.json"), "utf8")).toBe(stored);
  });

  it("takes over a socket that a killed agent left", async () => {
    await running();
    const after = await start();
    await console(after);
  });

  it.each(["", '{"version":1,"guests":[{"uu', '{"version":1,"guests":[{"uuid":"x"}]}', "null"])(
    "sets a file aside that holds %j",
    async (text) => {
      await writeFile(join(stateDir, "guests.json"), text);
      const driver = await start();
      expect(await driver.listGuests()).toEqual([]);
      expect(logs).toEqual(["fake.guests_set_aside"]);
      expect((await readdir(stateDir)).join()).toMatch(/^guests\.json\.bad-\d+$/);
      await driver.spawn(UUID, spec(), signal);
    },
  );

  it("lets an accident happen whose time came meanwhile", async () => {
    await (await running({ "fake:vanish": "3600000" })).close();
    const file = join(stateDir, "guests.json");
    await writeFile(file, (await readFile(file, "utf8")).replace(/"vanish_at":\d+/, '"vanish_at":1'));
    const after = await start();
    expect(await nextEvent(after)).toEqual({ uuid: UUID, power_state: NOSTATE });
  });
});

describe("failures on demand", () => {
  it.each([
    ["spawn", "Unexpected"],
    ["spawn=BuildAbortException", "BuildAbortException"],
    ["destroy, spawn = InsufficientFreeDisk ", "InsufficientFreeDisk"],
    ["spawn=NoSuchCode", "Unexpected"],
  ])("fake:fail %j fails spawn with %s and leaves nothing", async (fail, code) => {
    const driver = await start();
    expect(await codeOf(driver.spawn(UUID, spec({ "fake:fail": fail }), signal))).toBe(code);
    expect(images).toHaveLength(1);
    expect(await driver.getInfo(UUID)).toBeNull();
    expect(await readdir(stateDir)).toEqual([]);
  });

  it.each([
    ["power_on", (driver: FakeDriver) => driver.powerOn(UUID), "Unexpected"],
    ["power_off", (driver: FakeDriver) => driver.powerOff(UUID), "Unexpected"],
    ["reboot", (driver: FakeDriver) => driver.reboot(UUID, "SOFT"), "Unexpected"],
    ["destroy", (driver: FakeDriver) => driver.destroy(UUID), "Unexpected"],
    ["pause", (driver: FakeDriver) => driver.pause(UUID), "Unexpected"],
    ["unpause", (driver: FakeDriver) => driver.unpause(UUID), "Unexpected"],
    ["suspend=InstanceInvalidState", (driver: FakeDriver) => driver.suspend(UUID), "InstanceInvalidState"],
    ["resume", (driver: FakeDriver) => driver.resume(UUID), "Unexpected"],
    ["rescue", (driver: FakeDriver) => driver.rescue(UUID, { image: spec().image, spec: null }, signal), "Unexpected"],
    ["unrescue", (driver: FakeDriver) => driver.unrescue(UUID), "Unexpected"],
    ["get_console_output", (driver: FakeDriver) => driver.getConsoleOutput(UUID), "ConsoleNotAvailable"],
    ["get_diagnostics", (driver: FakeDriver) => driver.getDiagnostics(UUID), "Unexpected"],
    ["set_admin_password", (driver: FakeDriver) => driver.setAdminPassword(UUID, "s"), "SetAdminPasswdNotSupported"],
    ["inject_nmi", (driver: FakeDriver) => driver.injectNmi(UUID), "NotSupported"],
    ["vnc", (driver: FakeDriver) => driver.getVncConsole(UUID), "ConsoleNotAvailable"],
    ["vnc=HypervisorUnavailable", (driver: FakeDriver) => driver.getVncConsole(UUID), "HypervisorUnavailable"],
  ] as const)("fake:fail %j", async (fail, work, code) => {
    const driver = await running({ "fake:fail": `nonsense,${fail}` });
    expect(await codeOf(work(driver))).toBe(code);
    expect(await driver.getInfo(UUID)).toEqual({ uuid: UUID, power_state: RUNNING });
  });

  it("fake:delay_ms holds a spawn up", async () => {
    const driver = await start();
    const begun = performance.now();
    await driver.spawn(UUID, spec({ "fake:delay_ms": "80" }), signal);
    expect(performance.now() - begun).toBeGreaterThan(75);
  });

  it.each(["soon", "-1", "1e9", ""])("a time of %j is ignored", async (delay) => {
    await running({ "fake:delay_ms": delay, "fake:vanish": delay, "fake:crash": delay });
  });

  it("a signal ends the delay with its reason, and nothing is left", async () => {
    const driver = await start();
    const abort = new AbortController();
    const spawned = driver.spawn(UUID, spec({ "fake:delay_ms": "999999999" }), abort.signal);
    setTimeout(() => abort.abort(new DriverError("StaleGeneration", "too late")), 20);
    expect(await codeOf(spawned)).toBe("StaleGeneration");
    expect(await driver.getInfo(UUID)).toBeNull();
  });

  it("destroy ends the delay", async () => {
    const driver = await start();
    const spawned = driver.spawn(UUID, spec({ "fake:delay_ms": "600000" }), signal);
    await Promise.all([expect(codeOf(spawned)).resolves.toBe("BuildAbortException"), driver.destroy(UUID)]);
    expect(await driver.getInfo(UUID)).toBeNull();
  });

  it("close ends a download that hangs", async () => {
    const driver = await start({}, async (aborted) => {
      await once(aborted, "abort");
      aborted.throwIfAborted();
    });
    const spawned = driver.spawn(UUID, spec(), signal);
    await Promise.all([expect(codeOf(spawned)).resolves.toBe("HypervisorUnavailable"), driver.close()]);
  });

  it("fake:vanish makes the guest disappear, and tells", async () => {
    const driver = await start();
    const event = nextEvent(driver);
    await driver.spawn(UUID, spec({ "fake:vanish": "400" }), signal);
    const client = await console(driver);
    expect(await event).toEqual({ uuid: UUID, power_state: NOSTATE });
    await client.waitForEnd();
    expect(await driver.listGuests()).toEqual([]);
  });

  it("fake:crash makes it crash once, and it can be started again", async () => {
    const driver = await start();
    const event = nextEvent(driver);
    await driver.spawn(UUID, spec({ "fake:crash": "30" }), signal);
    expect(await event).toEqual({ uuid: UUID, power_state: CRASHED });
    expect(await codeOf(driver.getVncConsole(UUID))).toBe("ConsoleNotAvailable");
    await driver.powerOn(UUID);
    await console(driver);
    await driver.powerOff(UUID);
    expect(await driver.getInfo(UUID)).toEqual({ uuid: UUID, power_state: SHUTDOWN });
  });

  it("fake:crash spares a guest that is off by then", async () => {
    const driver = await running({ "fake:crash": "40" });
    await driver.powerOff(UUID);
    await driver.powerOn(UUID);
    await new Promise((resolve) => setTimeout(resolve, 80));
    expect(await driver.getInfo(UUID)).toEqual({ uuid: UUID, power_state: RUNNING });
  });
});
