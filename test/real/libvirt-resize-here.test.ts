/** A guest that becomes another one on its own host: its files are kept aside, and come back as they were, or go. */
import { execFile } from "node:child_process";
import { cp, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { POWER_STATE } from "../../functions/protocol/guest.ts";
import type { GuestSpec } from "../../functions/protocol/methods.ts";
import { bootDisk } from "./boot-sector.ts";
import { LIBVIRT_NEEDS } from "./libvirtd.ts";
import { movedSpec, WAIT } from "./moved-guest.ts";
import { type Host, MovingHosts } from "./moving-hosts.ts";
import { needs } from "./requirement.ts";

const { paths, apt } = LIBVIRT_NEEDS;
const missing = !needs("the libvirt driver's test of resizes on one host", ["/usr/bin/unshare", ...paths], apt);
const TIMEOUT_MS = 120_000;
const { RUNNING, SHUTDOWN } = POWER_STATE;
const GIB = 2 ** 30;
const run = promisify(execFile);
const uuid = "6f1c2a3b-0000-4000-8000-000000000021";
const name = "instance-00000021";
const migration = "6f1c2a3b-0000-4000-8000-0000000000bb";

const spec = (over: Partial<GuestSpec> = {}) => movedSpec({ instance_name: name, ...over });
const larger = spec({ disk_gb: 2, memory_mb: 96, swap_mb: 0, ephemerals: [{ size: 2, format: "ext4" }] });

describe.skipIf(missing)("a resize on one qemu:///session", () => {
  let hosts: MovingHosts;
  let host: Host;
  let instances: string;
  const at = (file = "") => join(instances, uuid, file);
  const aside = (file = "") => join(instances, `${uuid}_resize`, file);
  const folders = async () => (await readdir(instances)).toSorted();
  const power = async () => (await host.call("getInfo", uuid)) as unknown;
  const xml = () => host.virsh("dumpxml", "--inactive", name);
  const booted = () => vi.waitFor(async () => expect(await host.call("getConsoleOutput", uuid)).toContain("own"), WAIT);
  const io = (command: string, file = at("disk")) => run("qemu-io", ["-f", "qcow2", "-c", command, file]);

  beforeAll(async () => {
    hosts = await MovingHosts.open();
    host = await hosts.start("here");
    instances = join(await host.root(), "state/instances");
    await host.setBase(bootDisk("own").toString("base64"));
  }, TIMEOUT_MS);
  afterEach(async () => {
    await host.call("destroy", uuid);
    expect(await folders()).toEqual([]);
  }, TIMEOUT_MS);
  afterAll(() => hosts?.stop([host]), TIMEOUT_MS);

  /** A guest that is aside, whose disks have x on them: how it was described before. */
  async function asideNow(): Promise<string> {
    await host.call("spawn", uuid, spec());
    await host.call("powerOff", uuid);
    await io("write -P 120 1M 64k");
    await run("dd", ["if=/dev/zero", `of=${at("disk.eph0")}`, "bs=1M", "seek=900", "count=1", "conv=notrunc"]);
    const before = await xml();
    await host.migrateDiskAndPowerOff(uuid, migration);
    return before;
  }

  async function resized(start = true): Promise<string> {
    const before = await asideNow();
    await host.copyAside(uuid, migration, larger, false);
    await host.finishMigration(uuid, larger, start);
    return before;
  }

  it("keeps what is on the disks, grows them, and leaves nothing of the old ones", {
    timeout: TIMEOUT_MS,
  }, async () => {
    await resized();
    await booted();
    expect(await folders()).toEqual([uuid, `${uuid}_resize`]);
    expect(await host.call("listLeftovers")).toEqual([]);
    const described = await xml();
    expect(described).toContain("<memory unit='KiB'>98304</memory>");
    expect(described).toContain(at("disk.eph0"));
    expect(described).not.toContain("disk.swap");
    expect((await stat(at("disk.eph0"))).size).toBe(2 * GIB);
    // Holes are none of the copy's.
    expect((await stat(at("disk.eph0"))).blocks * 512).toBeLessThan(GIB / 4);
    expect((await readFile(at("disk.config"))).equals(await readFile(aside("disk.config")))).toBe(true);
    for (let i = 0; i < 2; i++) await host.confirmMigration(uuid);
    expect(await folders()).toEqual([uuid]);
    expect(await power()).toEqual({ uuid, power_state: RUNNING });
    expect((await readdir(at())).filter((file) => /swap|part|resize/.test(file))).toEqual([]);
    await host.call("powerOff", uuid);
    await io("read -P 120 1M 64k");
    const info = await run("qemu-img", ["info", "-f", "qcow2", "--output=json", at("disk")]);
    expect(JSON.parse(info.stdout)["virtual-size"]).toBe(2 * GIB);
  });

  it("that is reverted is as it was, to the byte", { timeout: TIMEOUT_MS }, async () => {
    const before = await asideNow();
    await cp(aside(), `${aside()}.copy`, { recursive: true });
    await host.copyAside(uuid, migration, larger, false);
    await host.finishMigration(uuid, larger, true);
    await booted();
    await host.finishRevertMigration(uuid);
    expect(await power()).toEqual({ uuid, power_state: SHUTDOWN });
    expect(await xml()).toBe(before);
    for (const file of ["disk", "disk.config", "disk.eph0", "disk.swap"]) {
      await run("cmp", [at(file), join(`${aside()}.copy`, file)]);
    }
    await rm(`${aside()}.copy`, { recursive: true });
    expect(await folders()).toEqual([uuid]);
    await host.finishRevertMigration(uuid);
    await host.call("powerOn", uuid);
    await booted();
  });

  it("goes on wherever it was cut off", { timeout: TIMEOUT_MS }, async () => {
    await host.call("spawn", uuid, spec());
    const before = await xml();
    // Its folder was to be put aside, and was not yet; rubbish is where it is to be.
    await mkdir(aside());
    await writeFile(at("resize.json"), "half of it");
    await host.migrateDiskAndPowerOff(uuid, migration);
    await host.copyAside(uuid, migration, larger, true);
    await host.reopen();
    await host.migrateDiskAndPowerOff(uuid, migration);
    for (let i = 0; i < 2; i++) await host.copyAside(uuid, migration, larger, false);
    // Described, and not yet known to be whole.
    await host.finishMigration(uuid, larger, false);
    await rm(aside("replaced"));
    await host.finishMigration(uuid, larger, true);
    expect(await power()).toEqual({ uuid, power_state: RUNNING });
    // What came is gone, and what was aside is not back yet.
    await rm(aside("replaced"));
    await rm(at(), { recursive: true });
    await host.finishRevertMigration(uuid);
    expect(await xml()).toBe(before);
    // And it is back, with what was kept of it still there.
    await rename(at(), aside());
    await writeFile(aside("resize.json"), JSON.stringify({ migration, description: before }));
    await host.reopen();
    await host.finishRevertMigration(uuid);
    await host.call("powerOn", uuid);
    await booted();
  });

  it("that nobody ends is as it was when its guest is asked for anything, and is never half confirmed", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const before = await asideNow();
    await host.copyAside(uuid, migration, larger, true);
    await host.confirmMigration(uuid);
    expect(await folders()).toEqual([uuid, `${uuid}_resize`]);
    await host.call("powerOn", uuid);
    await booted();
    expect(await xml()).toBe(before);
    expect(await folders()).toEqual([uuid]);
    // The next move finds what was left of one that had replaced it.
    await host.migrateDiskAndPowerOff(uuid, migration);
    await host.copyAside(uuid, migration, larger, false);
    await host.finishMigration(uuid, larger, true);
    const next = migration.replace("bb", "cc");
    await host.migrateDiskAndPowerOff(uuid, next);
    expect(await host.disksOf(uuid, migration)).toBeNull();
    expect((await host.disksOf(uuid, next))?.map((disk) => disk.name)).toEqual(["disk", "disk.config", "disk.eph0"]);
    // Half removed, what is aside is rubbish, and never a guest.
    await rm(aside("resize.json"));
    await host.call("destroy", uuid);
    await mkdir(aside());
    expect(await host.call("listLeftovers")).toEqual([uuid]);
  });
});
