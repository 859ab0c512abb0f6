/** Guests of the libvirt driver held, rescued, rebuilt and stopped gently, each as virsh and the guest itself see it. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, open as openFile, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import type { GuestInfo } from "../../agent/drivers/driver.ts";
import { LibvirtDriver } from "../../agent/drivers/libvirt/libvirt-driver.ts";
import { POWER_STATE } from "../../functions/protocol/guest.ts";
import { diagnostics, type GuestSpec, type ImageRef } from "../../functions/protocol/methods.ts";
import { FULL_DRIVE } from "../config-drive.ts";
import { bootDisk } from "./boot-sector.ts";
import { CLOUD_INIT_NEEDS, readByCloudInit } from "./cloud-init.ts";
import { GRUB_ISO, LIBVIRT, LIBVIRT_NEEDS, type PrivateLibvirtd, startLibvirtd } from "./libvirtd.ts";
import { needs } from "./requirement.ts";

const { paths, apt } = LIBVIRT_NEEDS;
/** Of the file systems on empty disks. */
const MAKERS = ["/usr/sbin/mkfs.ext4", "/usr/sbin/mkswap"];
const missing = !needs(
  "the libvirt driver's lifecycle test",
  [...paths, ...CLOUD_INIT_NEEDS.paths, ...MAKERS, GRUB_ISO],
  `${apt} ${CLOUD_INIT_NEEDS.apt} e2fsprogs grub-rescue-pc`,
);
const run = promisify(execFile);
const TIMEOUT_MS = 120_000;
const WAIT = { timeout: 60_000, interval: 200 };
const uuid = "6f1c2a3b-0000-4000-8000-000000000002";
const NAME = "instance-00000002";
const goOn = new AbortController().signal;
const { RUNNING, PAUSED, SHUTDOWN, SUSPENDED } = POWER_STATE;

/** Images by the number that their ids end in. */
const IMAGES = ["own", "new", "res"];
const image = (name: string, disk_format: ImageRef["disk_format"] = "raw"): ImageRef => ({
  id: `6f1c2a3b-0000-4000-8000-00000000010${IMAGES.indexOf(name)}`,
  disk_format,
  size: 1,
  sha512: "0".repeat(128),
});
const spec = (name = "own"): GuestSpec => ({
  display_name: "web",
  instance_name: NAME,
  project_id: "demo",
  vcpus: 1,
  memory_mb: 64,
  disk_gb: 0,
  ephemerals: [],
  swap_mb: 0,
  image: image(name),
  metadata: {},
  config_drive: null,
});

describe.skipIf(missing)("a guest on qemu:///session", () => {
  let libvirtd: PrivateLibvirtd;
  let driver: LibvirtDriver;
  let told: GuestInfo[] = [];
  const folder = () => join(libvirtd.root, "state/instances", uuid);
  const state = async () => (await libvirtd.virsh("domstate", NAME)).trim();
  const power = async () => (await driver.getInfo(uuid))?.power_state;
  const printed = async () => (await driver.getConsoleOutput(uuid)).toString();
  /** Disks as QEMU has them, in order: `vda /path`. */
  const disks = async () =>
    (await libvirtd.virsh("domblklist", NAME))
      .split("\n")
      .slice(2)
      .filter((line) => line.trim() !== "")
      .map((line) => line.trim().split(/\s+/).join(" "));
  const booted = (text: string) => vi.waitFor(async () => expect(await printed()).toBe(text), WAIT);

  async function open(): Promise<LibvirtDriver> {
    const path = (ref: ImageRef) =>
      ref.disk_format === "iso" ? GRUB_ISO : join(libvirtd.root, IMAGES[Number(ref.id.at(-1))] ?? "");
    const ctx = { stateDir: join(libvirtd.root, "state"), image: async (ref: ImageRef) => path(ref), log: () => {} };
    const opened = new LibvirtDriver(ctx, { ...LIBVIRT, connection_uri: libvirtd.uri, wait_soft_reboot_seconds: 60 });
    await opened.init();
    opened.onLifecycle((guest) => told.push(guest));
    return opened;
  }

  beforeAll(async () => {
    libvirtd = await startLibvirtd();
    await mkdir(join(libvirtd.root, "state"));
    for (const name of IMAGES) await writeFile(join(libvirtd.root, name), bootDisk(name));
    driver = await open();
  }, TIMEOUT_MS);

  afterEach(async () => {
    await driver.destroy(uuid);
    expect((await libvirtd.virsh("list", "--all", "--name")).trim()).toBe("");
    expect(existsSync(folder())).toBe(false);
    told = [];
  }, TIMEOUT_MS);

  afterAll(async () => {
    await driver?.close();
    await libvirtd?.stop();
  }, TIMEOUT_MS);

  async function running(): Promise<void> {
    await driver.spawn(uuid, spec(), goOn);
    await booted("own\n");
  }

  it("is paused and goes on, each twice, and tells nobody", { timeout: TIMEOUT_MS }, async () => {
    await running();
    const screen = await driver.getVncConsole(uuid);
    for (let i = 0; i < 2; i++) await driver.pause(uuid);
    expect([await state(), await power()]).toEqual(["paused", PAUSED]);
    expect(await driver.getVncConsole(uuid)).toEqual(screen);
    await expect(driver.suspend(uuid)).rejects.toMatchObject({ code: "InstanceInvalidState" });
    await expect(driver.getDiagnostics(uuid)).rejects.toMatchObject({ code: "InstanceInvalidState" });
    for (let i = 0; i < 2; i++) await driver.unpause(uuid);
    expect([await state(), await power()]).toEqual(["running", RUNNING]);
    await driver.pause(uuid);
    await driver.powerOn(uuid);
    expect(await power()).toBe(RUNNING);
    await driver.injectNmi(uuid);
    await booted("own\nNMI\n");
    await driver.pause(uuid);
    await driver.reboot(uuid, "HARD", goOn);
    await booted("own\n");
    await driver.powerOff(uuid);
    for (const work of ["pause", "unpause", "suspend", "injectNmi"] as const) {
      await expect(driver[work](uuid)).rejects.toMatchObject({ code: "InstanceInvalidState" });
    }
    expect(told).toEqual([]);
  });

  it("is suspended with its memory, which outlives the agent and libvirtd", { timeout: TIMEOUT_MS }, async () => {
    await running();
    for (let i = 0; i < 2; i++) await driver.suspend(uuid);
    expect([await state(), await power()]).toEqual(["shut off", SUSPENDED]);
    expect(await libvirtd.virsh("dominfo", NAME)).toMatch(/Managed save:\s+yes/);
    await expect(driver.getVncConsole(uuid)).rejects.toMatchObject({ code: "ConsoleNotAvailable" });
    await driver.close();
    await libvirtd.halt();
    await libvirtd.start();
    driver = await open();
    expect(await driver.listGuests()).toEqual([{ uuid, power_state: SUSPENDED }]);
    for (let i = 0; i < 2; i++) await driver.resume(uuid);
    expect([await state(), await power()]).toEqual(["running", RUNNING]);
    await driver.injectNmi(uuid);
    // Not booted anew: the handler is still in its memory, and its first line is not printed again.
    await booted("NMI\n");
    await driver.suspend(uuid);
    await driver.powerOn(uuid);
    expect(await libvirtd.virsh("dominfo", NAME)).toMatch(/Managed save:\s+no/);
    await driver.injectNmi(uuid);
    await booted("NMI\n");
    expect(told).toEqual([]);
  });

  it.each<[string, () => Promise<void>, string]>([
    ["a power off", () => driver.powerOff(uuid), "shut off"],
    ["a reboot", () => driver.reboot(uuid, "HARD", goOn), "running"],
    ["a soft reboot", () => driver.reboot(uuid, "SOFT", goOn), "running"],
    ["a rebuild", () => driver.rebuild(uuid, { spec: spec(), start: true }, goOn), "running"],
  ])(
    "forgets what it was in the middle of by %s while it is suspended",
    { timeout: TIMEOUT_MS },
    async (_, work, is) => {
      await running();
      await driver.suspend(uuid);
      await work();
      expect(await state()).toBe(is);
      expect(await libvirtd.virsh("dominfo", NAME)).toMatch(/Managed save:\s+no/);
      await driver.powerOn(uuid);
      await booted("own\n");
    },
  );

  it("shuts down by itself when it is asked, and is stopped hard when it does not", {
    timeout: TIMEOUT_MS,
  }, async () => {
    await running();
    await driver.powerOff(uuid, { seconds: 60, hurry: goOn });
    expect([await state(), await power()]).toEqual(["shut off", SHUTDOWN]);
    expect(await libvirtd.virsh("domstate", "--reason", NAME)).toContain("shut off (shutdown)");
    await driver.powerOff(uuid, { seconds: 60, hurry: goOn });

    await driver.powerOn(uuid);
    await booted("own\n");
    await driver.reboot(uuid, "SOFT", goOn);
    await booted("own\n");
    await driver.powerOff(uuid);

    await driver.rebuild(uuid, { spec: { ...spec(), image: image("own", "iso") }, start: true }, goOn);
    await driver.powerOff(uuid, { seconds: 2, hurry: goOn });
    expect(await libvirtd.virsh("domstate", "--reason", NAME)).toContain("shut off (destroyed)");
    await driver.powerOn(uuid);
    const hurry = new AbortController();
    const waits = driver.powerOff(uuid, { seconds: 3600, hurry: hurry.signal });
    const stops = driver.destroy(uuid);
    hurry.abort();
    await Promise.all([waits, stops]);
    expect(told).toEqual([]);
  });

  it("waits no more when the agent stops, and is left running", { timeout: TIMEOUT_MS }, async () => {
    await driver.spawn(uuid, { ...spec(), image: image("own", "iso") }, goOn);
    const waits = driver.powerOff(uuid, { seconds: 3600, hurry: goOn });
    const failed = expect(waits).rejects.toMatchObject({ code: "HypervisorUnavailable" });
    await vi.waitFor(async () => expect(await libvirtd.virsh("dominfo", NAME)).toContain("running"), WAIT);
    await driver.close();
    await failed;
    expect(await state()).toBe("running");
    driver = await open();
  });

  it("is rescued by a disk and comes back, each twice", { timeout: TIMEOUT_MS }, async () => {
    await running();
    const own = await libvirtd.virsh("dumpxml", "--inactive", NAME);
    await driver.rescue(uuid, { image: image("res"), spec: null }, goOn);
    await booted("resown\n");
    expect(await disks()).toEqual([`vda ${folder()}/disk.rescue`, `vdb ${folder()}/disk`]);
    const id = await libvirtd.virsh("domid", NAME);
    await driver.rescue(uuid, { image: image("res"), spec: null }, goOn);
    expect(await libvirtd.virsh("domid", NAME)).toBe(id);
    await driver.powerOff(uuid);
    await driver.powerOn(uuid);
    await booted("resown\n");
    await driver.close();
    driver = await open();
    for (let i = 0; i < 2; i++) await driver.unrescue(uuid);
    await booted("own\n");
    expect(await disks()).toEqual([`vda ${folder()}/disk`]);
    expect(await libvirtd.virsh("dumpxml", "--inactive", NAME)).toBe(own);
    expect(existsSync(join(folder(), "disk.rescue"))).toBe(false);
    expect(existsSync(join(folder(), "unrescue.xml"))).toBe(false);
    await driver.powerOff(uuid);
    await driver.unrescue(uuid);
    expect(await power()).toBe(RUNNING);
    expect(told).toEqual([]);
  });

  it("is rescued with another config drive, and has its own again after it", { timeout: TIMEOUT_MS }, async () => {
    const drive = (admin_pass: string) => ({ ...spec(), config_drive: { ...FULL_DRIVE, admin_pass } });
    const cds = async () => (await disks()).filter((line) => line.startsWith("sd"));
    const rescue = () => driver.rescue(uuid, { image: image("res"), spec: drive("rescue-me") }, goOn);
    await driver.spawn(uuid, drive("first"), goOn);
    const own = await libvirtd.virsh("dumpxml", "--inactive", NAME);
    for (let i = 0; i < 2; i++) await rescue();
    await booted("resown\n");
    const path = join(folder(), "disk.config.rescue");
    expect(await cds()).toEqual([`sdb ${path}`]);
    expect((await readByCloudInit(path)).metadata).toMatchObject({ admin_pass: "rescue-me", hostname: "web-1" });
    expect((await driver.getDiagnostics(uuid)).config_drive).toBe(true);
    // Cut off with its drive gone.
    await driver.powerOff(uuid);
    await rm(path);
    await rescue();
    expect(await cds()).toEqual([`sdb ${path}`]);
    await driver.unrescue(uuid);
    await booted("own\n");
    expect(await libvirtd.virsh("dumpxml", "--inactive", NAME)).toBe(own);
    expect(await cds()).toEqual([`sdb ${folder()}/disk.config`]);
    expect(existsSync(path)).toBe(false);
    await driver.rescue(uuid, { image: image("res"), spec: null }, goOn);
    expect(await cds()).toEqual([`sdb ${folder()}/disk.config`]);
    await driver.unrescue(uuid);
    await driver.rebuild(uuid, { spec: spec(), start: true }, goOn);
    await rescue();
    expect([await cds(), existsSync(path)]).toEqual([[], false]);
  });

  it("has formatted disks behind its own, in a rescue too, and new ones after a rebuild", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const full: GuestSpec = { ...spec(), ephemerals: [{ size: 1, format: "ext4" }], swap_mb: 64 };
    const [eph, swap] = [join(folder(), "disk.eph0"), join(folder(), "disk.swap")];
    const blkid = async (path: string) => (await run("/usr/sbin/blkid", ["-p", "-o", "export", path])).stdout;
    await driver.spawn(uuid, full, goOn);
    await booted("own\n");
    expect(await disks()).toEqual([`vda ${folder()}/disk`, `vdb ${eph}`, `vdc ${swap}`]);
    expect([(await stat(eph)).size, (await stat(swap)).size]).toEqual([2 ** 30, 64 * 2 ** 20]);
    expect((await driver.getDiagnostics(uuid)).num_disks).toBe(3);
    await driver.powerOff(uuid);
    expect(await blkid(eph)).toMatch(/LABEL=ephemeral0\n(.*\n)*TYPE=ext4\n/);
    expect(await blkid(swap)).toContain("TYPE=swap\n");
    // The guest reads the name of its second disk where no file system writes.
    const file = await openFile(eph, "r+");
    await file.write("eph\0", 0x1b0);
    await file.close();
    // SeaBIOS, by which it reads them, leaves out the disks that are not in the boot order.
    const ordered = (await libvirtd.virsh("dumpxml", "--inactive", NAME)).replace(
      "<target dev='vdb' bus='virtio'/>",
      "$&<boot order='2'/>",
    );
    await writeFile(join(libvirtd.root, "ordered.xml"), ordered);
    await libvirtd.virsh("define", join(libvirtd.root, "ordered.xml"));
    await driver.powerOn(uuid);
    await booted("owneph\n");
    await driver.rescue(uuid, { image: image("res"), spec: full }, goOn);
    await booted("resown\n");
    expect(await disks()).toEqual([`vda ${folder()}/disk.rescue`, `vdb ${folder()}/disk`, `vdc ${eph}`, `vdd ${swap}`]);
    await driver.unrescue(uuid);
    await booted("owneph\n");
    await driver.rebuild(uuid, { spec: full, start: true }, goOn);
    await booted("own\n");
  });

  it("is rescued by a CD, with its own disk where it was", { timeout: TIMEOUT_MS }, async () => {
    await running();
    await driver.rescue(uuid, { image: image("res", "iso"), spec: null }, goOn);
    expect(await disks()).toEqual([`sda ${GRUB_ISO}`, `vda ${folder()}/disk`]);
    const id = await libvirtd.virsh("domid", NAME);
    await driver.rescue(uuid, { image: image("res", "iso"), spec: null }, goOn);
    expect(await libvirtd.virsh("domid", NAME)).toBe(id);
    await driver.unrescue(uuid);
    await booted("own\n");
  });

  it("is rescued whole from where a rescue was cut off, or spawned from its own disk", {
    timeout: TIMEOUT_MS,
  }, async () => {
    await running();
    await driver.rescue(uuid, { image: image("res"), spec: null }, goOn);
    const original = await readFile(join(folder(), "unrescue.xml"), "utf8");
    await driver.unrescue(uuid);
    // Cut off before the guest was stopped.
    await writeFile(join(folder(), "unrescue.xml"), original);
    await driver.rescue(uuid, { image: image("res"), spec: null }, goOn);
    await booted("resown\n");
    // Cut off with its disk gone.
    await driver.powerOff(uuid);
    await rm(join(folder(), "disk.rescue"));
    await driver.rescue(uuid, { image: image("res"), spec: null }, goOn);
    await booted("resown\n");
    await driver.powerOff(uuid);
    await driver.spawn(uuid, spec(), goOn);
    await booted("own\n");
    expect(existsSync(join(folder(), "unrescue.xml"))).toBe(false);
  });

  it("runs on when its rescue image is no image", { timeout: TIMEOUT_MS }, async () => {
    await running();
    const refused = driver.rescue(uuid, { image: image("res", "qcow2"), spec: null }, goOn);
    await expect(refused).rejects.toMatchObject({ code: "ImageUnacceptable" });
    const rebuilt = driver.rebuild(uuid, { spec: { ...spec(), image: image("new", "qcow2") }, start: true }, goOn);
    await expect(rebuilt).rejects.toMatchObject({ code: "ImageUnacceptable" });
    expect(await power()).toBe(RUNNING);
    await driver.injectNmi(uuid);
    await booted("own\nNMI\n");
    const late = driver.rebuild(uuid, { spec: spec("new"), start: true }, AbortSignal.abort());
    await expect(late).rejects.toMatchObject({ code: "BuildAbortException" });
    expect(await power()).toBe(RUNNING);
  });

  it("is rebuilt from another image, and from nothing", { timeout: TIMEOUT_MS }, async () => {
    await running();
    await driver.rescue(uuid, { image: image("res"), spec: null }, goOn);
    await driver.rebuild(uuid, { spec: { ...spec("new"), memory_mb: 96 }, start: true }, goOn);
    await booted("new\n");
    expect(await disks()).toEqual([`vda ${folder()}/disk`]);
    expect(await libvirtd.virsh("dominfo", NAME)).toMatch(/Max memory:\s+98304 KiB/);
    await driver.rebuild(uuid, { spec: spec(), start: false }, goOn);
    expect([await state(), await power()]).toEqual(["shut off", SHUTDOWN]);
    await expect(driver.getConsoleOutput(uuid)).rejects.toMatchObject({ code: "ConsoleNotAvailable" });
    await driver.destroy(uuid);
    await expect(driver.getConsoleOutput(uuid)).rejects.toMatchObject({ code: "InstanceNotFound" });
    await driver.rebuild(uuid, { spec: spec(), start: true }, goOn);
    await booted("own\n");
  });

  it("tells what it uses, and no password where it has no agent", { timeout: TIMEOUT_MS }, async () => {
    await running();
    const told = diagnostics.parse(await driver.getDiagnostics(uuid));
    expect(told).toMatchObject({
      state: "running",
      driver: "libvirt",
      hypervisor: "qemu",
      config_drive: false,
      num_cpus: 1,
      num_nics: 0,
      num_disks: 1,
      cpu_details: [{ id: 0 }],
      memory_details: { maximum: 64, used: 64 },
    });
    const read = Number(/rd_bytes (\d+)/.exec(await libvirtd.virsh("domblkstat", NAME, "vda"))?.[1]);
    expect(told.disk_details[0]?.read_bytes).toBe(read);
    expect(read).toBeGreaterThan(0);
    const password = () => driver.setAdminPassword(uuid, "hunter2");
    await expect(password()).rejects.toMatchObject({ code: "InstanceAgentNotEnabled" });
    // A channel that nobody in the guest listens on.
    const listening = { ...spec(), image: { ...image("own"), guest_agent: true } };
    await driver.rebuild(uuid, { spec: listening, start: true }, goOn);
    expect(await libvirtd.virsh("dumpxml", NAME)).toContain("org.qemu.guest_agent.0");
    await expect(password()).rejects.toMatchObject({ code: "NotSupported" });
    await driver.powerOff(uuid);
    await expect(password()).rejects.toMatchObject({ code: "InstancePasswordSetFailed" });
  });
});
