/** Guests that are off, moved between two real libvirtds: their files come, are grown, and boot. */
import { execFile } from "node:child_process";
import { copyFile, readFile, rm, stat, writeFile } from "node:fs/promises";
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
const missing = !needs("the libvirt driver's test of cold moves", ["/usr/bin/unshare", ...paths], apt);
const TIMEOUT_MS = 120_000;
const GIB = 2 ** 30;
const run = promisify(execFile);
const uuid = "6f1c2a3b-0000-4000-8000-000000000011";
const migration = "6f1c2a3b-0000-4000-8000-0000000000aa";

const spec = (over: Partial<GuestSpec> = {}) => movedSpec({ instance_name: "instance-00000011", ...over });

async function info(disk: string): Promise<Record<string, unknown>> {
  return JSON.parse((await run("qemu-img", ["info", "-U", "-f", "qcow2", "--output=json", disk])).stdout);
}

describe.skipIf(missing)("a cold move between two qemu:///session", () => {
  let hosts: MovingHosts;
  let from: Host;
  let to: Host;
  let roots: { from: string; to: string };
  const folder = (root: string) => join(root, "state/instances", uuid);
  const printed = async (host: Host) => host.call("getConsoleOutput", uuid);

  beforeAll(async () => {
    hosts = await MovingHosts.open();
    [from, to] = await Promise.all([hosts.start("from"), hosts.start("to")]);
    roots = { from: await from.root(), to: await to.root() };
    for (const host of [from, to]) await host.setBase(bootDisk("own").toString("base64"));
  }, TIMEOUT_MS);
  afterEach(async () => {
    for (const host of [from, to]) await host.call("destroy", uuid);
  }, TIMEOUT_MS);
  afterAll(() => hosts?.stop([from, to]), TIMEOUT_MS);

  /** A guest that is aside, whose own disk has x at 1 MiB. */
  async function stopped(): Promise<void> {
    await from.call("spawn", uuid, spec());
    await from.call("powerOff", uuid);
    await run("qemu-io", ["-f", "qcow2", "-c", "write -P 120 1M 64k", join(folder(roots.from), "disk")]);
    for (let i = 0; i < 2; i++) await from.migrateDiskAndPowerOff(uuid, migration);
  }
  const disksAside = async () => (await from.disksOf(uuid, migration)) ?? [];

  async function copied(given = spec()): Promise<void> {
    const disks = await disksAside();
    const targets = await to.prepareDisks(
      uuid,
      given,
      disks.map(({ name }) => name),
    );
    for (const [i, { path }] of disks.entries()) await copyFile(path, targets[i] ?? "");
  }

  it("brings every file, grows the disk, and boots", { timeout: TIMEOUT_MS }, async () => {
    await stopped();
    expect((await disksAside()).map(({ name }) => name)).toEqual(["disk", "disk.config", "disk.eph0", "disk.swap"]);
    const grown = spec({ disk_gb: 2, memory_mb: 96, swap_mb: 16, ephemerals: [{ size: 2, format: "ext4" }] });
    await copied(grown);
    await to.finishMigration(uuid, grown, true);
    await vi.waitFor(async () => expect(await printed(to)).toContain("own"), WAIT);

    const at = (name: string) => join(folder(roots.to), name);
    const disk = await info(at("disk"));
    expect(disk).toMatchObject({ "virtual-size": 2 * GIB, "backing-filename": join(roots.to, "base") });
    expect((await stat(at("disk.eph0"))).size).toBe(2 * GIB);
    expect((await stat(at("disk.swap"))).size).toBe(16 << 20);
    const drive = await readFile(join(`${folder(roots.from)}_resize`, "disk.config"));
    expect((await readFile(at("disk.config"))).equals(drive)).toBe(true);
    const xml = await to.virsh("dumpxml", "instance-00000011");
    expect(xml).toContain("<memory unit='KiB'>98304</memory>");
    expect(xml).not.toContain(roots.from);
    await to.call("powerOff", uuid);
    await run("qemu-io", ["-f", "qcow2", "-c", "read -P 120 1M 64k", at("disk")]);
    // The source has all of it until it is dismissed, and boots it.
    expect(await from.call("getInfo", uuid)).toEqual({ uuid, power_state: POWER_STATE.SHUTDOWN });
    expect(await from.call("listLeftovers")).toEqual([]);
    await to.call("destroy", uuid);
    for (let i = 0; i < 2; i++) await from.finishRevertMigration(uuid);
    await run("qemu-io", ["-f", "qcow2", "-c", "read -P 120 1M 64k", join(folder(roots.from), "disk")]);
    await from.call("powerOn", uuid);
    expect(await from.call("getInfo", uuid)).toEqual({ uuid, power_state: POWER_STATE.RUNNING });
  });

  it("may be finished twice, and leaves the guest off if it was", { timeout: TIMEOUT_MS }, async () => {
    await stopped();
    await copied();
    await to.finishMigration(uuid, spec(), false);
    await to.prepareDisks(uuid, spec(), []);
    await to.finishMigration(uuid, spec(), false);
    expect(await to.call("getInfo", uuid)).toEqual({ uuid, power_state: POWER_STATE.SHUTDOWN });
    await to.finishMigration(uuid, spec(), true);
    await to.finishMigration(uuid, spec(), true);
    expect(await to.call("getInfo", uuid)).toEqual({ uuid, power_state: POWER_STATE.RUNNING });
  });

  it("is refused where it has no room, and of a guest that is not there", { timeout: TIMEOUT_MS }, async () => {
    await expect(from.migrateDiskAndPowerOff(uuid, migration)).rejects.toMatchObject({ code: "InstanceNotFound" });
    expect(await from.disksOf(uuid, migration)).toBeNull();
    const large = to.prepareDisks(uuid, spec({ disk_gb: 1_000_000 }), []);
    await expect(large).rejects.toMatchObject({ code: "InsufficientFreeDisk" });
    await expect(to.prepareDisks(uuid, spec(), ["../disk"])).rejects.toMatchObject({ code: "InvalidCall" });
    await to.call("destroy", uuid);
    expect(await to.files(folder(roots.to))).toBeNull();
  });

  it("makes no guest of a disk that did not come, would shrink, or names another file", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const [path] = await to.prepareDisks(uuid, spec(), ["disk"]);
    const finished = () => to.finishMigration(uuid, spec(), true);
    await expect(finished()).rejects.toMatchObject({ code: "MigrationError" });
    await run("qemu-img", ["create", "-q", "-f", "qcow2", path ?? "", "2G"]);
    await expect(finished()).rejects.toMatchObject({ code: "MigrationError", message: /shrink/ });
    const secret = join(roots.to, "secret");
    await writeFile(secret, Buffer.alloc(1 << 20, "s"));
    await rm(path ?? "");
    await run("qemu-img", ["create", "-q", "-f", "qcow2", "-o", `data_file=${secret}`, path ?? "", "1G"]);
    await expect(finished()).rejects.toMatchObject({ code: "MigrationError", message: /data file/ });
    expect(await to.call("getInfo", uuid)).toBeNull();
  });
});
