/** The fake driver's guests on their way between two fake hosts: what every driver that moves guests does. */

import { copyFile, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { GuestInfo, LiveProgress } from "../../agent/drivers/driver.ts";
import { FakeDriver } from "../../agent/drivers/fake/fake-driver.ts";
import { POWER_STATE, vncAddress } from "../../functions/protocol/guest.ts";
import type { GuestSpec } from "../../functions/protocol/methods.ts";
import { FULL_DRIVE } from "../config-drive.ts";
import { LIVE_MIGRATION } from "../live-migration-options.ts";
import { type Cut, LocalMoveLink } from "../local-move-link.ts";
import { RfbClient, ZRLE } from "../rfb-client.ts";
import type { RfbScreen } from "../rfb-screen.ts";
import { SPEC } from "./agent-support.ts";

const { RUNNING, PAUSED, SHUTDOWN } = POWER_STATE;
const UUID = "3f2b8c1e-9d47-4a65-b0e2-7c51d8f9a023";
const MIGRATION = "3f2b8c1e-9d47-4a65-b0e2-7c51d8f9a0aa";
const WAIT = { timeout: 10_000, interval: 20 };
const signal = new AbortController().signal;
const ORDER = { options: LIVE_MIGRATION, block_migration: true, to: "to" };
const QUIET = { progress: () => undefined, switched: () => undefined };
/** So long that only what is asked meanwhile ends it. */
const LONG = { "fake:slow": "live_migration=600000" };

let dir: string;
let from: FakeDriver;
let to: FakeDriver;
let told: GuestInfo[];
let ends: (() => Promise<void> | void)[];

const spec = (metadata: Record<string, string> = {}, over: Partial<GuestSpec> = {}): GuestSpec => ({
  ...SPEC,
  config_drive: FULL_DRIVE,
  metadata,
  ...over,
});

async function host(name: string): Promise<FakeDriver> {
  const driver = new FakeDriver({ stateDir: join(dir, name), image: async () => "/dev/null", log: () => {} });
  await driver.init();
  driver.onLifecycle((guest) => told.push(guest));
  ends.push(() => driver.close());
  return driver;
}

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "en-"));
  [told, ends] = [[], []];
  [from, to] = [await host("from"), await host("to")];
});
afterEach(async () => {
  for (const end of ends.toReversed()) await end();
  await rm(dir, { recursive: true });
});

async function links(cut?: Cut): Promise<{ source: LocalMoveLink; destination: LocalMoveLink }> {
  const [a, b] = [join(dir, "a"), join(dir, "b")];
  const source = new LocalMoveLink({ peer: b, cut });
  const destination = new LocalMoveLink({ peer: a });
  await source.listen(a);
  await destination.listen(b);
  ends.push(() => {
    source.close();
    destination.close();
  });
  return { source, destination };
}

async function asideOf({ moving }: FakeDriver) {
  for (let i = 0; i < 2; i++) await moving.migrateDiskAndPowerOff(UUID, MIGRATION);
  return (await moving.disksOf(UUID, MIGRATION)) ?? [];
}

async function screen(driver: FakeDriver): Promise<RfbClient> {
  const address = vncAddress.parse(await driver.getVncConsole(UUID));
  if (address.transport !== "unix") throw new Error("not a unix socket");
  const client = RfbClient.over(connect(address.path), { encodings: [ZRLE] });
  await client.ready();
  client.watch();
  await client.waitForScreen(() => true);
  return client;
}

/** The part of the picture where the guest writes. */
const typed = (it: RfbScreen) => it.area(21, 233, 758, 312);

async function nextSecond(client: RfbClient): Promise<void> {
  const uptime = (it: RfbScreen) => it.area(140, 190, 168, 16);
  const before = uptime(client.screen);
  await client.waitForScreen((it) => !uptime(it).equals(before));
}

describe("a cold move", () => {
  it("brings the disk and makes a guest of it, of another size", async () => {
    await from.spawn(UUID, spec(), signal);
    expect(await from.moving.disksOf(UUID, MIGRATION)).toBeNull();
    const disks = await asideOf(from);
    expect(await from.listLeftovers()).toEqual([]);
    const pathOf = await to.moving.prepareDisks(UUID, spec(), signal);
    for (const { name, path } of disks) await copyFile(path, pathOf(name));
    expect(() => pathOf("../disk")).toThrow("no file");
    const order = { spec: spec({}, { vcpus: 4 }), start: true };
    for (let i = 0; i < 2; i++) await to.moving.finishMigration(UUID, order);
    expect(await to.getInfo(UUID)).toEqual({ uuid: UUID, power_state: RUNNING });
    const output = async () => (await to.getConsoleOutput(UUID)).toString();
    await vi.waitFor(async () => expect(await output()).toContain("Allowing 4 CPUs"), WAIT);
    expect(await from.getInfo(UUID)).toEqual({ uuid: UUID, power_state: SHUTDOWN });
    const [there] = await asideOf(to);
    expect((await readFile(there?.path ?? "")).equals(await readFile(disks[0]?.path ?? ""))).toBe(true);
    await from.moving.finishRevertMigration(UUID);
    expect(await readdir(join(dir, "from/disks"))).toEqual([UUID]);
    for (const driver of [from, to]) await driver.destroy(UUID);
    for (const [i, driver] of [from, to].entries()) {
      expect(await driver.listLeftovers()).toEqual([]);
      expect(await readdir(join(dir, ["from", "to"][i] ?? ""))).not.toContain("disks");
    }
  });

  it("to its own host leaves what was there aside, until that is brought back or goes", async () => {
    await from.spawn(UUID, spec(), signal);
    const larger = { spec: spec({}, { vcpus: 4, config_drive: null }), start: true };
    const folders = async () => (await readdir(join(dir, "from/disks"))).toSorted();
    const drive = () => readdir(join(dir, "from/config-drives", UUID), { recursive: true });
    const before = await drive();
    for (const confirm of [false, true]) {
      const [disk] = await asideOf(from);
      const pathOf = await from.moving.prepareDisks(UUID, larger.spec, signal);
      // Half a guest is not what is kept.
      await writeFile(pathOf("disk"), "half");
      await from.moving.confirmMigration(UUID);
      expect(await folders()).toEqual([UUID, `${UUID}_resize`]);
      await copyFile(disk?.path ?? "", pathOf("disk"));
      for (let i = 0; i < 2; i++) await from.moving.finishMigration(UUID, larger);
      expect(await from.listLeftovers()).toEqual([]);
      for (let i = 0; i < 2; i++) {
        await (confirm ? from.moving.confirmMigration(UUID) : from.moving.finishRevertMigration(UUID));
      }
      expect(await folders()).toEqual([UUID]);
      if (!confirm) expect(await drive()).toEqual(before);
      expect(await from.getInfo(UUID)).toEqual({ uuid: UUID, power_state: confirm ? RUNNING : SHUTDOWN });
    }
    // One that nobody ends is as it was when its guest is asked for anything.
    await asideOf(from);
    await from.powerOn(UUID);
    expect(await folders()).toEqual([UUID]);
    await asideOf(from);
    await from.destroy(UUID);
    expect(await from.listLeftovers()).toEqual([]);
  });

  it("makes no guest without a disk, and leaves a file that is found", async () => {
    await expect(to.moving.finishMigration(UUID, { spec: spec(), start: true })).rejects.toMatchObject({
      code: "MigrationError",
    });
    const pathOf = await to.moving.prepareDisks(UUID, spec(), signal);
    await writeFile(pathOf("disk"), "half");
    await to.moving.prepareDisks(UUID, spec(), signal);
    expect(await readFile(pathOf("disk"), "utf8")).toBe("half");
    expect(await to.listLeftovers()).toEqual([UUID]);
    await to.destroy(UUID);
    expect(await to.listLeftovers()).toEqual([]);
  });
});

describe("a live migration", () => {
  async function prepared({ metadata = {}, cut }: { metadata?: Record<string, string>; cut?: Cut } = {}) {
    await from.spawn(UUID, spec(metadata), signal);
    return ready(metadata, cut);
  }
  async function ready(metadata: Record<string, string>, cut?: Cut): Promise<LocalMoveLink> {
    const order = { spec: spec(metadata), data: await from.moving.checkSource(UUID), block_migration: true };
    await to.moving.checkDestination(UUID, order);
    const { source, destination } = await links(cut);
    await to.moving.preLiveMigration(UUID, order, destination, signal);
    return source;
  }

  it("brings a guest whose picture goes on", async () => {
    const link = await prepared();
    const before = await screen(from);
    const booting = typed(before.screen);
    await from.injectNmi(UUID);
    before.cutText("hello");
    await before.waitForScreen((it) => !typed(it).equals(booting));
    // What was drawn before its clock went on has come whole.
    for (let i = 0; i < 2; i++) await nextSecond(before);
    const text = typed(before.screen);
    const progress: LiveProgress[] = [];
    expect(
      await from.moving.liveMigration(UUID, ORDER, link, { ...QUIET, progress: (one) => progress.push(one) }),
    ).toEqual({ aborted: false });
    await to.moving.postLiveMigration(UUID);
    expect(await from.getInfo(UUID)).toBeNull();
    expect(await to.getInfo(UUID)).toEqual({ uuid: UUID, power_state: RUNNING });
    expect(progress.at(-1)).toMatchObject({ memory_total: 64 << 20, memory_remaining: 0, disk_remaining: 0 });
    await (await screen(to)).waitForScreen((it) => typed(it).equals(text));
    const output = (await to.getConsoleOutput(UUID)).toString();
    expect(output).toContain("NMI received");
    expect(output).toContain("login:");
    expect(await readdir(join(dir, "to/config-drives", UUID))).toContain("openstack");
    expect(await from.listLeftovers()).toEqual([]);
    expect(told).toEqual([]);
    // A call that is repeated finds that it was done.
    expect(await from.moving.liveMigration(UUID, ORDER, link, QUIET)).toEqual({ aborted: false });
  });

  it("of a paused guest brings it paused", async () => {
    await from.spawn(UUID, spec(), signal);
    await from.pause(UUID);
    const link = await ready({});
    await from.moving.liveMigration(UUID, ORDER, link, QUIET);
    await to.moving.postLiveMigration(UUID);
    expect(await to.getInfo(UUID)).toEqual({ uuid: UUID, power_state: PAUSED });
  });

  it("is aborted when told, and the guest goes on where it was", async () => {
    const link = await prepared({ metadata: LONG });
    const client = await screen(from);
    await expect(from.moving.abortLiveMigration(UUID)).rejects.toMatchObject({ code: "InstanceInvalidState" });
    const tell = vi.fn();
    const moving = from.moving.liveMigration(UUID, ORDER, link, { ...QUIET, progress: tell });
    await vi.waitFor(() => expect(tell).toHaveBeenCalled(), WAIT);
    await from.moving.abortLiveMigration(UUID);
    expect(await moving).toEqual({ aborted: true });
    expect(await from.getInfo(UUID)).toEqual({ uuid: UUID, power_state: RUNNING });
    expect(client.ended).toBe(false);
    expect(await to.getInfo(UUID)).toBeNull();
  });

  it("ends at once when it is forced to", async () => {
    const link = await prepared({ metadata: LONG });
    const tell = vi.fn();
    const moving = from.moving.liveMigration(UUID, ORDER, link, { ...QUIET, progress: tell });
    await vi.waitFor(() => expect(tell).toHaveBeenCalled(), WAIT);
    await from.moving.forceCompleteLiveMigration(UUID);
    expect(await moving).toEqual({ aborted: false });
    expect(await to.getInfo(UUID)).toEqual({ uuid: UUID, power_state: RUNNING });
  });

  it("whose way breaks leaves the guest running where it was, and can be tried again", async () => {
    const link = await prepared({ cut: { kind: "guest", bytes: 100 } });
    await expect(from.moving.liveMigration(UUID, ORDER, link, QUIET)).rejects.toMatchObject({
      code: "MigrationError",
    });
    expect(await from.getInfo(UUID)).toEqual({ uuid: UUID, power_state: RUNNING });
    expect(await to.getInfo(UUID)).toBeNull();
    await to.destroy(UUID);
    const again = await ready({});
    expect(await from.moving.liveMigration(UUID, ORDER, again, QUIET)).toEqual({ aborted: false });
  });

  it("ends with its agent, and the guest goes on under the next", async () => {
    const link = await prepared({ metadata: LONG });
    const moving = from.moving.liveMigration(UUID, ORDER, link, QUIET);
    const failed = expect(moving).rejects.toMatchObject({ code: "HypervisorUnavailable" });
    await from.close();
    await failed;
    expect(await (await host("from")).getInfo(UUID)).toEqual({ uuid: UUID, power_state: RUNNING });
  });

  it("is not waited for by the end of its guest", async () => {
    const link = await prepared({ metadata: LONG });
    const moving = from.moving.liveMigration(UUID, ORDER, link, QUIET);
    await from.destroy(UUID);
    expect(await moving).toEqual({ aborted: true });
    expect(await from.getInfo(UUID)).toBeNull();
  });

  it("is refused before anything has changed, and fails as it is ordered to", async () => {
    await from.spawn(UUID, spec(), signal);
    const data = await from.moving.checkSource(UUID);
    const checked = (over: object, metadata = {}) =>
      to.moving.checkDestination(UUID, { spec: spec(metadata), data, block_migration: true, ...over });
    const refused = { code: "MigrationError" };
    await checked({});
    await expect(checked({ block_migration: false })).rejects.toMatchObject(refused);
    await expect(checked({ data: { ...data, machine: "q35" } })).rejects.toMatchObject(refused);
    await expect(checked({ data: { ...data, hypervisor_version: 99_000_000 } })).rejects.toMatchObject(refused);
    await expect(checked({}, { "fake:fail": "check_can_live_migrate_destination" })).rejects.toMatchObject(refused);
    await expect(to.moving.postLiveMigration(UUID)).rejects.toMatchObject({ code: "InstanceNotFound" });
    await from.powerOff(UUID);
    await expect(from.moving.checkSource(UUID)).rejects.toMatchObject({ code: "InstanceInvalidState" });
  });
});
