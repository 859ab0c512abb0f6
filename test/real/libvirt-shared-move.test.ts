/** Guests that move between two real libvirtds (QEMU, TCG) which have one folder of guests: whose its files are, and stay. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { POWER_STATE } from "../../functions/protocol/guest.ts";
import { LIVE_MIGRATION } from "../live-migration-options.ts";
import { bootDisk } from "./boot-sector.ts";
import { LIBVIRT_NEEDS } from "./libvirtd.ts";
import { expectAlive, movedSpec, printed, SLOW, WAIT } from "./moved-guest.ts";
import { type Host, MovingHosts } from "./moving-hosts.ts";
import { needs } from "./requirement.ts";

const { paths, apt } = LIBVIRT_NEEDS;
const missing = !needs("the libvirt driver's test of shared storage", ["/usr/bin/unshare", ...paths], apt);
const TIMEOUT_MS = 120_000;
const run = promisify(execFile);
const OVMF = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const noUefi = !needs("the test of UEFI guests on shared storage", [OVMF], "ovmf");
const uuid = "6f1c2a3b-0000-4000-8000-000000000013";
const MIGRATION = "6f1c2a3b-0000-4000-8000-0000000000cc";
const spec = movedSpec({ instance_name: "instance-00000013" });
const { RUNNING, SHUTDOWN } = POWER_STATE;

describe.skipIf(missing)("two qemu:///session with one instances_path", () => {
  let hosts: MovingHosts;
  let from: Host;
  let to: Host;
  let folder: string;
  const power = async (host: Host) =>
    ((await host.call("getInfo", uuid)) as { power_state: number } | null)?.power_state ?? null;
  const owner = () => readFile(join(folder, "owner"), "utf8");
  const write = (byte: number) =>
    run("qemu-io", ["-f", "qcow2", "-c", `write -P ${byte} 1M 64k`, join(folder, "disk")]);
  const expectByte = (byte: number) =>
    run("qemu-io", ["-f", "qcow2", "-c", `read -P ${byte} 1M 64k`, join(folder, "disk")]);

  beforeAll(async () => {
    hosts = await MovingHosts.open();
    folder = join(hosts.shared, uuid);
    const env = { INSTANCES_PATH: hosts.shared };
    [from, to] = await Promise.all([
      hosts.start("from", "moving-host.ts", env),
      hosts.start("to", "moving-host.ts", env),
    ]);
  }, TIMEOUT_MS);
  afterEach(async () => {
    for (const host of [from, to, from]) await host.call("destroy", uuid);
    for (const host of [from, to]) {
      expect(await host.virsh("list", "--all", "--name")).toBe("\n");
      expect(await host.call("listLeftovers")).toEqual([]);
    }
    expect(existsSync(folder)).toBe(false);
  }, TIMEOUT_MS);
  afterAll(() => hosts?.stop([from, to]), TIMEOUT_MS);

  /** A guest at the source with x at 1 MiB of its disk. */
  async function booted({ busy = false, bootsAt = from } = {}): Promise<void> {
    for (const host of [from, to]) await host.setBase(bootDisk("own", { busy }).toString("base64"));
    await bootsAt.call("spawn", uuid, spec);
    await bootsAt.call("powerOff", uuid);
    await write(120);
    await bootsAt.call("powerOn", uuid);
    await vi.waitFor(async () => expect(await printed(bootsAt, uuid)).toContain("own"), WAIT);
  }

  async function prepared(): Promise<void> {
    const data = await from.checkSource(uuid);
    expect(await to.checkDestination(uuid, { spec, data, block_migration: null })).toEqual({ block_migration: false });
    await hosts.link(from, to);
    await to.preLiveMigration(uuid, { spec, data, block_migration: false });
  }

  it("brings a guest alive without its disks", { timeout: TIMEOUT_MS }, async () => {
    await booted();
    expect(await owner()).toBe("from");
    await prepared();
    expect(await from.liveMigration(uuid, LIVE_MIGRATION, false)).toEqual({ aborted: false });
    expect(await owner()).toBe("to");
    // A repeated call finds that it was done.
    expect(await from.liveMigration(uuid, LIVE_MIGRATION, false)).toEqual({ aborted: false });
    await to.postLiveMigration(uuid);

    expect([await power(from), await power(to)]).toEqual([null, RUNNING]);
    await expectAlive(to, uuid);
    const counts = await from.linkCounts();
    expect(counts.disks).toBeUndefined();
    expect(counts.memory?.bytes).toBeLessThan(16 << 20);
    // Each host has its own copy of the image.
    const xml = await to.virsh("dumpxml", "--inactive", spec.instance_name);
    expect(xml).toContain(join(await to.root(), "base"));
    expect(xml).not.toContain(await from.root());

    await from.call("destroy", uuid);
    expect(await from.call("listLeftovers")).toEqual([]);
    await to.call("powerOff", uuid);
    await expectByte(120);
    // It boots there, and a snapshot is of both its files, without the source's copy of the image.
    await from.setBase("");
    const copy = join(await to.root(), "copy.qcow2");
    await to.snapshot(uuid, copy);
    await run("qemu-io", ["-f", "qcow2", "-c", "read -P 120 1M 64k", copy]);
    expect((await run("qemu-img", ["info", copy])).stdout).not.toContain("backing");
    await to.call("powerOn", uuid);
    await vi.waitFor(async () => expect((await printed(to, uuid)).split("own").length).toBeGreaterThan(1), WAIT);
  });

  it("leaves it where it is when it is aborted, and may try again", { timeout: TIMEOUT_MS }, async () => {
    await booted({ busy: true });
    await prepared();
    const moving = from.liveMigration(uuid, SLOW, false);
    await vi.waitFor(async () => expect((await from.progress()).at(-1)?.memory_processed).toBeGreaterThan(0), WAIT);
    await from.abortLiveMigration(uuid);
    expect(await moving).toEqual({ aborted: true });
    await to.call("destroy", uuid);
    expect(await to.call("listLeftovers")).toEqual([]);
    expect([await owner(), await power(from), await power(to)]).toEqual(["from", RUNNING, null]);
    expect(await from.files(folder)).not.toContain("leaving");
    await expectAlive(from, uuid);
    await prepared();
    await from.liveMigration(uuid, LIVE_MIGRATION, false);
    await to.postLiveMigration(uuid);
    expect([await owner(), await power(to)]).toEqual(["to", RUNNING]);
    await expectAlive(to, uuid);
  });

  it("refuses what is not for it, and to overwrite what another host has", { timeout: TIMEOUT_MS }, async () => {
    await booted();
    const data = await from.checkSource(uuid);
    const refused = { code: "MigrationError" };
    const asked = (block_migration: boolean | null, over = {}) =>
      to.checkDestination(uuid, { spec, data: { ...data, ...over }, block_migration });
    await expect(asked(true)).rejects.toMatchObject(refused);
    await expect(asked(false, { probe: "other" })).rejects.toMatchObject(refused);
    await expect(asked(null, { probe: null })).rejects.toMatchObject(refused);
    await hosts.link(from, to);
    await expect(to.preLiveMigration(uuid, { spec, data, block_migration: true })).rejects.toMatchObject(refused);
    const stale = { spec, data: { ...data, probe: "other" }, block_migration: false };
    await expect(to.preLiveMigration(uuid, stale)).rejects.toMatchObject(refused);
    await expect(to.prepareDisks(uuid, spec, [])).rejects.toMatchObject(refused);
    await expect(to.finishMigration(uuid, spec, true)).rejects.toMatchObject(refused);
    await expect(to.call("spawn", uuid, spec)).rejects.toMatchObject({ code: "InstanceInvalidState" });
    await to.call("destroy", uuid);
    expect([await owner(), await power(from)]).toEqual(["from", RUNNING]);
    await expectAlive(from, uuid);
  });

  /** The files of a source that was killed once its guest had gone, and before it had said so. */
  async function goneUnsaid(): Promise<void> {
    await writeFile(join(folder, "owner"), "from");
    await writeFile(join(folder, "leaving"), "to");
  }

  it.each(["destroy", "live_migration"] as const)(
    "gives the files of a guest that has gone when the source was killed before it could: %s",
    { timeout: TIMEOUT_MS },
    async (call) => {
      await booted();
      await prepared();
      await from.liveMigration(uuid, LIVE_MIGRATION, false);
      await goneUnsaid();
      // Neither end takes them for its own to remove.
      expect(await to.call("listLeftovers")).toEqual([]);
      if (call === "destroy") await from.call("destroy", uuid);
      else expect(await from.liveMigration(uuid, LIVE_MIGRATION, false)).toEqual({ aborted: false });
      expect(await owner()).toBe("to");
      expect(await to.files(folder)).not.toContain("leaving");
      await expectAlive(to, uuid);
    },
  );

  it("has the destination own what runs there, and what it is rid of before left", {
    timeout: TIMEOUT_MS,
  }, async () => {
    await booted();
    await prepared();
    await from.liveMigration(uuid, LIVE_MIGRATION, false);
    await goneUnsaid();
    await to.call("destroy", uuid);
    expect([await power(to), await owner()]).toEqual([null, "from"]);
    await from.call("destroy", uuid);
    expect(await owner()).toBe("to");

    await to.call("destroy", uuid);
    await booted();
    await prepared();
    await from.liveMigration(uuid, LIVE_MIGRATION, false);
    await goneUnsaid();
    await to.postLiveMigration(uuid);
    expect(await owner()).toBe("to");
    await from.call("destroy", uuid);
    await expectAlive(to, uuid);
  });

  it("does not start a guest that may run at the end of its way", { timeout: TIMEOUT_MS }, async () => {
    await booted();
    await from.call("powerOff", uuid);
    await writeFile(join(folder, "leaving"), "to");
    await expect(from.call("powerOn", uuid)).rejects.toMatchObject({ code: "InstanceInvalidState" });
    // The edge asks for the move again, and is told that the guest is here, off.
    await hosts.link(from, to);
    const again = from.liveMigration(uuid, LIVE_MIGRATION, false);
    await expect(again).rejects.toMatchObject({ code: "InstanceInvalidState" });
    await from.call("powerOn", uuid);
    expect(await power(from)).toBe(RUNNING);
  });

  it("makes an evacuated guest of its disks, which its former host leaves alone", { timeout: TIMEOUT_MS }, async () => {
    await booted();
    await from.call("powerOff", uuid);
    await from.call("rescue", uuid, { image: spec.image, spec: null });
    await from.virsh("destroy", spec.instance_name);
    expect(await to.instanceOnDisk(uuid, "from")).toBe(true);
    expect(await to.instanceOnDisk(uuid, "other")).toBe(false);
    await expect(to.finishMigration(uuid, spec, true, "other")).rejects.toMatchObject({ code: "InstanceInvalidState" });
    for (let i = 0; i < 2; i++) await to.finishMigration(uuid, spec, true, "from");
    expect([await owner(), await power(to)]).toEqual(["to", RUNNING]);
    expect(await to.files(folder)).not.toContain("unrescue.xml");
    await vi.waitFor(async () => expect(await printed(to, uuid)).toContain("own"), WAIT);

    for (const call of ["powerOn", "resume", "unrescue"] as const) {
      await expect(from.call(call, uuid)).rejects.toMatchObject({ code: "InstanceInvalidState" });
    }
    await expect(from.call("rebuild", uuid, { spec, start: true })).rejects.toMatchObject({
      code: "InstanceInvalidState",
    });
    await from.reopen();
    expect(await from.call("listLeftovers")).toEqual([]);
    await from.call("destroy", uuid);
    expect([await owner(), await power(from)]).toEqual(["to", null]);
    await expectAlive(to, uuid);
    await to.call("powerOff", uuid);
    await expectByte(120);
  });

  it("builds an evacuated guest whose host was lost before it had a disk", { timeout: TIMEOUT_MS }, async () => {
    await booted();
    await from.call("powerOff", uuid);
    await rm(join(folder, "disk"));
    for (let i = 0; i < 2; i++) await to.finishMigration(uuid, spec, false, "from");
    expect([await owner(), await power(to)]).toEqual(["to", SHUTDOWN]);
    await expectByte(0);
  });

  describe("a guest that is off", () => {
    const larger = movedSpec({ instance_name: spec.instance_name, disk_gb: 2 });
    const aside = () => `${folder}_resize`;
    const asideOwner = () => readFile(join(aside(), "owner"), "utf8");

    async function putAside(): Promise<void> {
      await booted();
      for (let i = 0; i < 2; i++) await from.migrateDiskAndPowerOff(uuid, MIGRATION);
      expect(await to.instanceOnDisk(uuid, "from")).toBe(true);
    }

    async function moved(): Promise<void> {
      await putAside();
      await to.copyAside(uuid, MIGRATION, larger, true);
      for (let i = 0; i < 2; i++) await to.copyAside(uuid, MIGRATION, larger, false);
      for (let i = 0; i < 2; i++) await to.finishMigration(uuid, larger, true);
      expect([await owner(), await asideOwner()]).toEqual(["to", "from"]);
      expect([await power(from), await power(to)]).toEqual([SHUTDOWN, RUNNING]);
      for (const host of [from, to]) expect(await host.call("listLeftovers")).toEqual([]);
    }

    async function isBack(): Promise<void> {
      expect([await owner(), await power(from)]).toEqual(["from", SHUTDOWN]);
      expect(existsSync(aside())).toBe(false);
      await expectByte(120);
      await from.call("powerOn", uuid);
      await vi.waitFor(async () => expect(await printed(from, uuid)).toContain("own"), WAIT);
    }

    it("moves by files that are aside, and is confirmed", { timeout: TIMEOUT_MS }, async () => {
      await moved();
      await expect(from.call("powerOn", uuid)).rejects.toMatchObject({ code: "InstanceInvalidState" });
      expect(await asideOwner()).toBe("from");
      await from.call("destroy", uuid);
      expect(existsSync(aside())).toBe(false);
      expect([await owner(), await power(from)]).toEqual(["to", null]);
      await expectAlive(to, uuid);
      await to.call("powerOff", uuid);
      await expectByte(120);
    });

    it("is reverted", { timeout: TIMEOUT_MS }, async () => {
      await moved();
      await to.call("destroy", uuid);
      expect([existsSync(folder), await asideOwner()]).toEqual([false, "from"]);
      for (let i = 0; i < 2; i++) await from.finishRevertMigration(uuid);
      await isBack();
    });

    it("is reverted while its destination is away, which returns", { timeout: TIMEOUT_MS }, async () => {
      await moved();
      await from.finishRevertMigration(uuid);
      await to.call("destroy", uuid);
      expect(await power(to)).toBeNull();
      await isBack();
    });

    it("is where it was when its move has failed half way", { timeout: TIMEOUT_MS }, async () => {
      await putAside();
      await to.copyAside(uuid, MIGRATION, larger, true);
      await from.call("powerOn", uuid);
      await to.call("destroy", uuid);
      expect([await owner(), await power(from)]).toEqual(["from", RUNNING]);
      await from.call("powerOff", uuid);
      await isBack();
    });

    it("is made of its files aside when its host is lost half way", { timeout: TIMEOUT_MS }, async () => {
      await putAside();
      await to.copyAside(uuid, MIGRATION, larger, true);
      for (let i = 0; i < 2; i++) await to.finishMigration(uuid, spec, true, "from");
      expect(existsSync(aside())).toBe(false);
      await from.call("destroy", uuid);
      expect([await owner(), await power(from), await power(to)]).toEqual(["to", null, RUNNING]);
      await to.call("powerOff", uuid);
      await expectByte(120);
    });
  });

  it.skipIf(noUefi)("keeps a UEFI's variables as another host forgets the guest", { timeout: TIMEOUT_MS }, async () => {
    for (const host of [from, to]) await host.setBase(bootDisk("own").toString("base64"));
    const uefi = movedSpec({ ...spec, hardware: { firmware_type: "uefi", machine_type: "q35" } });
    await from.call("spawn", uuid, uefi);
    await from.call("powerOff", uuid);
    await to.finishMigration(uuid, uefi, false, "from");
    await from.call("destroy", uuid);
    expect(await power(from)).toBeNull();
    expect(await to.files(folder)).toContain("nvram.fd");
  });

  it("has a half removed folder go, and one without an owner only to who makes the guest", async () => {
    await mkdir(folder);
    await to.call("destroy", uuid);
    expect(existsSync(folder)).toBe(false);
    await mkdir(folder);
    await writeFile(join(folder, "disk"), "of nobody");
    await to.call("destroy", uuid);
    expect(await to.files(folder)).toEqual(["disk"]);
    expect(await to.call("listLeftovers")).toEqual([]);
    await writeFile(join(folder, "owner"), "to");
    expect(await to.call("listLeftovers")).toEqual([uuid]);
    expect(await from.call("listLeftovers")).toEqual([]);
  });

  it("owns guests of before there were owners", { timeout: TIMEOUT_MS }, async () => {
    await booted({ bootsAt: to });
    await rm(join(folder, "owner"));
    await from.reopen();
    await to.reopen();
    expect(await owner()).toBe("to");
  });
});

describe.skipIf(missing || process.geteuid?.() !== 0)("two qemu:///system with one instances_path", () => {
  let hosts: MovingHosts;
  let from: Host;
  let to: Host;

  beforeAll(async () => {
    hosts = await MovingHosts.open();
    // QEMU's user passes it.
    await chmod(dirname(hosts.shared), 0o711);
    const env = { INSTANCES_PATH: hosts.shared, LIBVIRTD: "system" };
    const start = (name: string) => hosts.start(name, "moving-host.ts", env);
    [from, to] = await Promise.all([start("from"), start("to")]);
    for (const host of [from, to]) await host.setBase(bootDisk("own").toString("base64"));
  }, TIMEOUT_MS);
  afterAll(() => hosts?.stop([from, to]), TIMEOUT_MS);

  it("leave a guest's files to the QEMU that has them", { timeout: TIMEOUT_MS }, async () => {
    const disk = join(hosts.shared, uuid, "disk");
    await from.call("spawn", uuid, spec);
    await vi.waitFor(async () => expect(await printed(from, uuid)).toContain("own"), WAIT);
    const running = await from.ownerOf(disk);
    const order = { spec, data: await from.checkSource(uuid), block_migration: false };
    await hosts.link(from, to);
    await to.preLiveMigration(uuid, order);
    await from.liveMigration(uuid, LIVE_MIGRATION, false);
    await to.postLiveMigration(uuid);
    await from.call("destroy", uuid);
    expect(await to.ownerOf(disk)).toBe(running);
    await expectAlive(to, uuid);
    await to.call("reboot", uuid, "HARD");
    await vi.waitFor(async () => expect(await printed(to, uuid)).toContain("own"), WAIT);
    await to.call("destroy", uuid);
    expect(await to.files(hosts.shared)).toEqual([]);
  });
});
