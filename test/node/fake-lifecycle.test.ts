/** The fake driver's guests held, rescued and rebuilt, and what they tell of themselves. */
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { tail } from "../../agent/console/output.ts";
import { DriverError } from "../../agent/drivers/driver.ts";
import { consoleLog } from "../../agent/drivers/fake/console-log.ts";
import { FakeDriver } from "../../agent/drivers/fake/fake-driver.ts";
import { booted, held, made, stopped, told } from "../../agent/drivers/fake/guest-life.ts";
import { BOOT_MS } from "../../agent/drivers/fake/screen.ts";
import { POWER_STATE, type PowerState, vncAddress } from "../../functions/protocol/guest.ts";
import { diagnostics, type ImageRef, MAX_CONSOLE_BYTES } from "../../functions/protocol/methods.ts";
import { RfbClient, ZRLE } from "../rfb-client.ts";
import { SPEC } from "./agent-support.ts";

const { RUNNING, SHUTDOWN, CRASHED, PAUSED, SUSPENDED } = POWER_STATE;
const UUID = "3f2b8c1e-9d47-4a65-b0e2-7c51d8f9a023";
const RESCUE: ImageRef = { ...SPEC.image, id: "5c2f8c1e-9d47-4a65-b0e2-7c51d8f9a023" };
const WAIT = { timeout: 10_000, interval: 20 };
const signal = new AbortController().signal;

let stateDir: string;
let images: string[];
let download: (signal: AbortSignal) => Promise<void>;
const drivers: FakeDriver[] = [];

beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), "edgenova-fake-"));
  images = [];
  download = async () => {};
});
afterEach(async () => {
  for (const driver of drivers.splice(0)) await driver.close();
  await rm(stateDir, { recursive: true });
});

async function start(): Promise<FakeDriver> {
  const image = async (ref: ImageRef, given: AbortSignal) => {
    await download(given);
    images.push(ref.id);
    return "/dev/null";
  };
  const driver = new FakeDriver({ stateDir, log: () => {}, image });
  drivers.push(driver);
  await driver.init();
  return driver;
}

async function running(metadata: Record<string, string> = {}): Promise<FakeDriver> {
  const driver = await start();
  await driver.spawn(UUID, { ...SPEC, metadata }, signal);
  return driver;
}

async function console(driver: FakeDriver): Promise<RfbClient> {
  const address = vncAddress.parse(await driver.getVncConsole(UUID));
  if (address.transport !== "unix") throw new Error("not a unix socket");
  const client = RfbClient.over(connect(address.path), { encodings: [ZRLE] });
  await client.ready();
  client.watch();
  await client.waitForScreen(() => true);
  return client;
}

const power = async (driver: FakeDriver) => (await driver.getInfo(UUID))?.power_state;
const printed = async (driver: FakeDriver) => tail(await driver.getConsoleOutput(UUID), null);

async function codeOf(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => "nothing",
    (reason: unknown) => reason,
  );
  if (!(error instanceof DriverError)) throw new Error(`not a DriverError: ${error}`);
  return error.code;
}

/** The ways into each state, from a running guest. */
const INTO: Record<string, (driver: FakeDriver) => Promise<void>> = {
  RUNNING: async () => {},
  PAUSED: (driver) => driver.pause(UUID),
  SUSPENDED: (driver) => driver.suspend(UUID),
  SHUTDOWN: (driver) => driver.powerOff(UUID),
  RESCUED: (driver) => driver.rescue(UUID, { image: RESCUE, spec: null }, signal),
};
const CALLS: Record<string, (driver: FakeDriver) => Promise<void>> = {
  pause: (driver) => driver.pause(UUID),
  unpause: (driver) => driver.unpause(UUID),
  suspend: (driver) => driver.suspend(UUID),
  resume: (driver) => driver.resume(UUID),
  powerOn: (driver) => driver.powerOn(UUID),
  powerOff: (driver) => driver.powerOff(UUID),
  reboot: (driver) => driver.reboot(UUID, "HARD"),
  rescue: (driver) => driver.rescue(UUID, { image: RESCUE, spec: null }, signal),
  unrescue: (driver) => driver.unrescue(UUID),
  spawn: (driver) => driver.spawn(UUID, SPEC, signal),
  rebuild: (driver) => driver.rebuild(UUID, { spec: SPEC, start: true }, signal),
};
const NO = "InstanceInvalidState";
const TABLE: Record<string, Record<string, PowerState | typeof NO>> = {
  RUNNING: { pause: PAUSED, unpause: RUNNING, suspend: SUSPENDED, powerOff: SHUTDOWN },
  PAUSED: { pause: PAUSED, unpause: RUNNING, suspend: NO, powerOff: SHUTDOWN, spawn: PAUSED },
  SUSPENDED: { pause: NO, unpause: NO, suspend: SUSPENDED, powerOff: SHUTDOWN },
  SHUTDOWN: { pause: NO, unpause: NO, suspend: NO, powerOff: SHUTDOWN },
  RESCUED: { pause: PAUSED, unpause: RUNNING, suspend: SUSPENDED, powerOff: SHUTDOWN },
};

describe.each(Object.keys(INTO))("a guest that is %s", (state) => {
  it.each(Object.keys(CALLS))("%s, twice", async (name) => {
    const driver = await running();
    await INTO[state]?.(driver);
    const before = await power(driver);
    const becomes = TABLE[state]?.[name] ?? RUNNING;
    for (let i = 0; i < 2; i++) {
      if (becomes === NO) expect(await codeOf(CALLS[name]!(driver))).toBe(NO);
      else await CALLS[name]?.(driver);
      expect(await power(driver)).toBe(becomes === NO ? before : becomes);
    }
    const shown = becomes === RUNNING || becomes === PAUSED || (becomes === NO && before === PAUSED);
    if (shown) await console(driver);
    else expect(await codeOf(driver.getVncConsole(UUID))).toBe("ConsoleNotAvailable");
  });

  it("is destroyed, and nothing is left", async () => {
    const driver = await running();
    await INTO[state]?.(driver);
    await driver.destroy(UUID);
    expect(await driver.listGuests()).toEqual([]);
    expect(await readdir(stateDir)).toEqual(["guests.json"]);
  });

  it("is found so by the next agent", async () => {
    const before = await running();
    await INTO[state]?.(before);
    const was = await power(before);
    await before.close();
    const after = await start();
    expect(await power(after)).toBe(was);
    if (was === RUNNING || was === PAUSED) await console(after);
  });
});

describe("a held guest", () => {
  it("goes on where it was, with its clients while it is paused, and without them once it is suspended", async () => {
    const driver = await running();
    const client = await console(driver);
    await driver.pause(UUID);
    await driver.unpause(UUID);
    client.type("x");
    const updates = client.updates;
    await client.waitForScreen(() => client.updates > updates);
    await driver.suspend(UUID);
    await client.waitForEnd();
    const { booted_at } = JSON.parse(await readFile(join(stateDir, "guests.json"), "utf8")).guests[0];
    await driver.powerOn(UUID);
    const row = JSON.parse(await readFile(join(stateDir, "guests.json"), "utf8")).guests[0];
    expect(row).toMatchObject({ booted_at, halted_at: null });
  });

  it("forgets where it was when it is booted", () => {
    const guest = held(booted(made({ uuid: UUID, spec: SPEC, now: 0 }), 0), SUSPENDED, 5000);
    expect(booted(guest, 9000)).toMatchObject({ booted_at: 9000, halted_at: null, halted_ms: 0 });
  });

  it("does not crash while it is held, nor later for that", async () => {
    const driver = await running({ "fake:crash": "30" });
    await driver.pause(UUID);
    await new Promise((resolve) => setTimeout(resolve, 80));
    await driver.unpause(UUID);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(await power(driver)).not.toBe(CRASHED);
  });
});

describe("rescue and rebuild", () => {
  it("show another screen, and the disks that there are", async () => {
    const driver = await running();
    const client = await console(driver);
    await driver.rescue(UUID, { image: RESCUE, spec: null }, signal);
    await client.waitForEnd();
    expect(images).toEqual([SPEC.image.id, RESCUE.id]);
    expect((await driver.getDiagnostics(UUID)).num_disks).toBe(2);
    const rescued = await console(driver);
    await driver.unrescue(UUID);
    await rescued.waitForEnd();
    expect((await driver.getDiagnostics(UUID)).num_disks).toBe(1);
  });

  it("show the empty disks behind the guest's own", async () => {
    const driver = await start();
    await driver.spawn(UUID, { ...SPEC, ephemerals: [{ size: 2, format: "ext4" }], swap_mb: 512 }, signal);
    const own = [`${SPEC.disk_gb} GiB, from image ${SPEC.image.id}`, "2 GiB, ext4", "512 MiB, swap"];
    const disks = async () => [...(await printed(driver)).matchAll(/virtio_blk: (.*)/g)].map(([, disk]) => disk);
    const named = (all: string[]) => all.map((disk, i) => `[vd${"abcd"[i]}] ${disk}`);
    const seen = async (all: string[]) => {
      await vi.waitFor(async () => expect(await disks()).toEqual(named(all)), WAIT);
      expect((await driver.getDiagnostics(UUID)).num_disks).toBe(all.length);
    };
    await seen(own);
    await driver.rescue(UUID, { image: RESCUE, spec: null }, signal);
    await seen([`rescue image ${RESCUE.id}`, ...own]);
    await driver.rebuild(UUID, { spec: SPEC, start: true }, signal);
    await seen(own.slice(0, 1));
  });

  it("survive a power cycle and end with a spawn that finds the guest off", async () => {
    const driver = await running();
    await driver.rescue(UUID, { image: RESCUE, spec: null }, signal);
    await driver.powerOff(UUID);
    await driver.powerOn(UUID);
    expect((await driver.getDiagnostics(UUID)).num_disks).toBe(2);
    await driver.powerOff(UUID);
    await driver.spawn(UUID, SPEC, signal);
    expect((await driver.getDiagnostics(UUID)).num_disks).toBe(1);
  });

  it("rebuild takes the new spec, ends a rescue, and leaves the guest off if it is told so", async () => {
    const driver = await running();
    await driver.rescue(UUID, { image: RESCUE, spec: null }, signal);
    await driver.rebuild(UUID, { spec: { ...SPEC, vcpus: 3, image: RESCUE }, start: true }, signal);
    expect(await driver.getDiagnostics(UUID)).toMatchObject({ num_cpus: 3, num_disks: 1 });
    await driver.rebuild(UUID, { spec: SPEC, start: false }, signal);
    expect(await power(driver)).toBe(SHUTDOWN);
    await driver.destroy(UUID);
    await driver.rebuild(UUID, { spec: SPEC, start: true }, signal);
    expect(await power(driver)).toBe(RUNNING);
  });

  it("leave the guest as it was when their image cannot be had, or they are ordered to fail", async () => {
    const driver = await running();
    const client = await console(driver);
    download = async () => {
      throw new DriverError("ImageUnacceptable", "not the bytes");
    };
    expect(await codeOf(driver.rescue(UUID, { image: RESCUE, spec: null }, signal))).toBe("ImageUnacceptable");
    expect(await codeOf(driver.rebuild(UUID, { spec: SPEC, start: true }, signal))).toBe("ImageUnacceptable");
    download = async () => {};
    const failing = { ...SPEC, metadata: { "fake:fail": "rebuild=BuildAbortException" } };
    expect(await codeOf(driver.rebuild(UUID, { spec: failing, start: true }, signal))).toBe("BuildAbortException");
    expect(client.ended).toBe(false);
    expect(await power(driver)).toBe(RUNNING);
  });

  it("are cut short by destroy", async () => {
    const driver = await running();
    download = async (given) => {
      await once(given, "abort");
      given.throwIfAborted();
    };
    const works = [
      driver.rescue(UUID, { image: RESCUE, spec: null }, signal),
      driver.rebuild(UUID, { spec: SPEC, start: true }, signal),
      driver.destroy(UUID),
    ];
    const ends = await Promise.allSettled(works);
    expect(ends.map(({ status }) => status)).toEqual(["rejected", "rejected", "fulfilled"]);
    expect(await power(driver)).toBeUndefined();
  });
});

describe("what a guest tells", () => {
  const guest = made({ uuid: UUID, spec: { ...SPEC, display_name: "a\nb", vcpus: 3 }, now: 0 });

  it("prints its boot, then its login, then its uptime, and nothing while it is held", () => {
    const up = booted(guest, 1000);
    const at = (now: number, of = up) => consoleLog(of, now).toString();
    expect(at(1001)).toContain("Linux version");
    expect(at(1001)).not.toContain("CPUs");
    expect(at(1000 + BOOT_MS + 1)).toMatch(/Memory: 65536K.*Allowing 3 CPUs.*Hostname set to <a b>.*\na b login: $/s);
    expect(at(1000 + 125_000)).toMatch(/up 1 min.*up 2 min/s);
    expect(at(1000 + 125_000)).not.toContain("up 3 min");
    expect(at(9_000_000, held(up, PAUSED, 126_000))).toBe(at(126_000));
    expect(at(9_000_000, stopped(up, SHUTDOWN, 126_000))).toBe(at(126_000));
    expect(at(1000, guest)).toBe("");
  });

  it("never prints more than is kept of a console, the last of it", () => {
    const old = consoleLog(booted(guest, 0), 10 * 365 * 86_400_000);
    expect(old.length).toBeLessThanOrEqual(MAX_CONSOLE_BYTES);
    expect(old.toString()).toContain("up 5255999 min");
  });

  it("is hit by an NMI and given a password, which is told and kept nowhere", async () => {
    const driver = await running();
    await driver.injectNmi(UUID);
    await driver.setAdminPassword(UUID, "hunter2hunter2");
    await expect.poll(() => printed(driver)).toMatch(/NMI received.*password of root was changed/s);
    expect(await readFile(join(stateDir, "guests.json"), "utf8")).toMatch(/"password_set":true/);
    expect(await readFile(join(stateDir, "guests.json"), "utf8")).not.toContain("hunter2");
    await driver.reboot(UUID, "HARD");
    expect(await printed(driver)).not.toContain("NMI");
    await driver.powerOff(UUID);
    expect(await codeOf(driver.injectNmi(UUID))).toBe("InstanceInvalidState");
    expect(await codeOf(driver.setAdminPassword(UUID, "s"))).toBe("InstancePasswordSetFailed");
    expect(await codeOf(driver.getDiagnostics(UUID))).toBe("InstanceInvalidState");
  });

  it("keeps the last hundred of its messages", () => {
    let up = booted(guest, 0);
    for (let i = 0; i < 150; i++) up = told(up, `m${i}`, i);
    expect(up.messages).toHaveLength(100);
    expect(up.messages.at(-1)).toEqual({ after_ms: 149, text: "m149" });
  });

  it("has diagnostics of the protocol's shape", async () => {
    const driver = await running();
    expect(diagnostics.parse(await driver.getDiagnostics(UUID))).toMatchObject({
      state: "running",
      num_cpus: 1,
      cpu_details: [{ id: 0 }],
      memory_details: { maximum: 64 },
    });
  });
});

describe("tail", () => {
  it.each([
    [null, "a\nb\nc\n"],
    [-1, "a\nb\nc\n"],
    [0, ""],
    [1, ""],
    [2, "c\n"],
    [100, "a\nb\nc\n"],
  ])("of length %s", (length, text) => {
    expect(tail(Buffer.from("a\nb\nc\n"), length)).toBe(text);
  });

  it("replaces what is not UTF-8, and never grows by it", () => {
    const bytes = Buffer.from([0x61, 0xff, 0xfe, 0xe2, 0x82, 0x0a, 0xf0, 0x9f, 0x98, 0x80]);
    expect(tail(bytes, null)).toBe("a\ufffd\ufffd\ufffd\n\u{1f600}");
    for (let i = 0; i < 256; i++) expect(tail(Buffer.alloc(64, i), null).length).toBeLessThanOrEqual(64);
  });
});
