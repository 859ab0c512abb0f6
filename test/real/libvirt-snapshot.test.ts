/** Snapshots of real QEMU guests (TCG), taken while they run, stand and rest, as qemu-img and the next guest see them. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { copyFile, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { LibvirtDriver } from "../../agent/drivers/libvirt/libvirt-driver.ts";
import { POWER_STATE } from "../../functions/protocol/guest.ts";
import type { GuestSpec } from "../../functions/protocol/methods.ts";
import { bootDisk } from "./boot-sector.ts";
import { GRUB_ISO, LIBVIRT, LIBVIRT_NEEDS, type PrivateLibvirtd, startLibvirtd } from "./libvirtd.ts";
import { needs } from "./requirement.ts";

const { paths, apt } = LIBVIRT_NEEDS;
const missing = !needs("the libvirt driver's snapshot test", [...paths, GRUB_ISO], `${apt} grub-rescue-pc`);
const root = process.geteuid?.() === 0;
const TIMEOUT_MS = 120_000;
const run = promisify(execFile);
const uuid = "6f1c2a3b-0000-4000-8000-000000000003";
const NAME = "instance-00000003";
const goOn = new AbortController().signal;

const spec = (disk_format: GuestSpec["image"]["disk_format"], disk_gb = 1): GuestSpec => ({
  display_name: "web",
  instance_name: NAME,
  project_id: "demo",
  vcpus: 1,
  memory_mb: 64,
  disk_gb,
  ephemerals: [{ size: 1, format: "ext4" }],
  swap_mb: 8,
  image: { id: uuid, disk_format, size: 1, sha512: "0".repeat(128) },
  metadata: {},
  config_drive: null,
});

async function info(disk: string): Promise<Record<string, unknown>> {
  return JSON.parse((await run("qemu-img", ["info", "-U", "-f", "qcow2", "--output=json", disk])).stdout);
}

describe.skipIf(missing)("a snapshot on qemu:///session", () => {
  let libvirtd: PrivateLibvirtd;
  let driver: LibvirtDriver;
  let base: string;
  const folder = () => join(libvirtd.root, "state/instances", uuid);
  const at = (name: string) => join(libvirtd.root, name);
  const qemuId = async () => (await libvirtd.virsh("domid", NAME)).trim();
  const printed = async () => (await driver.getConsoleOutput(uuid)).toString();

  beforeAll(async () => {
    libvirtd = await startLibvirtd();
    await mkdir(at("state"));
    await writeFile(at("base"), bootDisk("own"));
    const ctx = { stateDir: at("state"), image: async () => base, log: () => {} };
    driver = new LibvirtDriver(ctx, { ...LIBVIRT, connection_uri: libvirtd.uri });
    await driver.init();
  }, TIMEOUT_MS);
  afterEach(() => driver?.destroy(uuid), TIMEOUT_MS);
  afterAll(async () => {
    await driver?.close();
    await libvirtd?.stop();
  }, TIMEOUT_MS);

  /** A guest of the base whose own disk has x at 1 MiB. */
  async function booted(): Promise<void> {
    base = at("base");
    await driver.spawn(uuid, spec("raw"), goOn);
    await driver.powerOff(uuid);
    await run("qemu-io", ["-f", "qcow2", "-c", "write -P 120 1M 64k", join(folder(), "disk")]);
    await driver.powerOn(uuid);
  }
  /** Readable, whole, on its own, as large as the disk, with the base's bytes and the guest's. */
  async function expectWhole(path: string): Promise<void> {
    await run("qemu-img", ["check", "-q", "-f", "qcow2", path]);
    const about = await info(path);
    expect(about).toMatchObject({ format: "qcow2", "virtual-size": 2 ** 30 });
    expect(about).not.toHaveProperty("backing-filename");
    await run("qemu-img", ["convert", "-f", "qcow2", "-O", "raw", path, `${path}.raw`]);
    const bytes = await readFile(`${path}.raw`);
    const original = await readFile(at("base"));
    expect(bytes.subarray(0, 512).equals(original.subarray(0, 512))).toBe(true);
    expect(bytes.subarray(1 << 20, (1 << 20) + 8).toString()).toBe("xxxxxxxx");
    await rm(`${path}.raw`);
  }

  it.each(["running", "paused", "suspended", "stopped"] as const)(
    "of a %s guest leaves it so, and boots again",
    {
      timeout: TIMEOUT_MS,
    },
    async (state) => {
      await booted();
      if (state === "paused") await driver.pause(uuid);
      if (state === "suspended") await driver.suspend(uuid);
      if (state === "stopped") await driver.powerOff(uuid);
      const [before, id] = [await driver.getInfo(uuid), await qemuId()];
      const path = at(`snapshot-${state}`);
      expect(await driver.snapshot(uuid, path, goOn)).toEqual({ disk_format: "qcow2" });
      expect([await driver.getInfo(uuid), await qemuId()]).toEqual([before, id]);
      expect(await info(join(folder(), "disk"))).toMatchObject({ "backing-filename": base });
      expect(existsSync(join(folder(), "snapshot"))).toBe(false);
      await expectWhole(path);
      await driver.destroy(uuid);
      base = path;
      await driver.spawn(uuid, spec("qcow2"), goOn);
      await vi.waitFor(async () => expect(await printed()).toContain("own"), { timeout: 60_000, interval: 200 });
    },
  );

  it("is of the blank disk where an iso booted, and of nothing where there is none", {
    timeout: TIMEOUT_MS,
  }, async () => {
    base = GRUB_ISO;
    await driver.spawn(uuid, spec("iso"), goOn);
    await driver.snapshot(uuid, at("snapshot-iso"), goOn);
    expect(await info(at("snapshot-iso"))).toMatchObject({ "virtual-size": 2 ** 30 });
    await driver.destroy(uuid);
    await driver.spawn(uuid, spec("iso", 0), goOn);
    await expect(driver.snapshot(uuid, at("none"), goOn)).rejects.toMatchObject({ code: "NotSupported" });
  });

  it("goes over what an agent that was killed left under way", { timeout: TIMEOUT_MS }, async () => {
    await booted();
    // A job that does not end by itself: it waits for somebody to read it.
    await writeFile(
      at("pull.xml"),
      `<domainbackup mode='pull'><server transport='unix' socket='${at("nbd")}'/>` +
        `<disks><disk name='vda' type='file'><scratch file='${folder()}/snapshot'/></disk></disks></domainbackup>`,
    );
    await libvirtd.virsh("backup-begin", NAME, at("pull.xml"));
    await driver.snapshot(uuid, at("snapshot-again"), goOn);
    await expectWhole(at("snapshot-again"));
  });

  it("is given up when told, and leaves the guest alone", { timeout: TIMEOUT_MS }, async () => {
    await booted();
    const stop = new AbortController();
    const taken = driver.snapshot(uuid, at("snapshot-aborted"), stop.signal);
    setTimeout(() => stop.abort(new Error("deleted")), 50);
    // It may have been faster.
    await taken.catch(() => undefined);
    expect(await libvirtd.virsh("domjobinfo", NAME)).toMatch(/Job type:\s+None/);
    expect(existsSync(join(folder(), "snapshot"))).toBe(false);
    await expect(driver.snapshot(uuid, at("never"), AbortSignal.abort())).rejects.toThrow();
    await driver.snapshot(uuid, at("snapshot-after"), goOn);
    await expectWhole(at("snapshot-after"));
  });

  it("of a guest that is not there says so", async () => {
    await expect(driver.snapshot(uuid, at("never"), goOn)).rejects.toMatchObject({ code: "InstanceNotFound" });
  });
});

describe.skipIf(missing || !root)("a snapshot on qemu:///system", () => {
  it("is made by QEMU's own user, and leaves the base root's", { timeout: TIMEOUT_MS }, async () => {
    const libvirtd = await startLibvirtd("system");
    const at = (name: string) => join(libvirtd.root, name);
    const ctx = { stateDir: at("state"), image: async () => at("base"), log: () => {} };
    const driver = new LibvirtDriver(ctx, { ...LIBVIRT, connection_uri: libvirtd.uri });
    try {
      await mkdir(at("state"), { mode: 0o700 });
      await copyFile(GRUB_ISO, at("base"));
      await run("chmod", ["0400", at("base")]);
      await driver.init();
      await driver.spawn(uuid, spec("raw"), goOn);
      await driver.snapshot(uuid, at("snapshot"), goOn);
      await run("qemu-img", ["check", "-q", "-f", "qcow2", at("snapshot")]);
      expect(await info(at("snapshot"))).not.toHaveProperty("backing-filename");
      const { uid, mode } = await stat(at("base"));
      expect([uid, (mode & 0o777).toString(8)]).toEqual([0, "440"]);
      expect(await driver.getInfo(uuid)).toEqual({ uuid, power_state: POWER_STATE.RUNNING });
    } finally {
      await driver.destroy(uuid).catch(() => undefined);
      await driver.close();
      await libvirtd.stop();
    }
  });
});
