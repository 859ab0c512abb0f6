/** The libvirt driver against a real libvirtd and real QEMU guests (TCG; no KVM is needed). */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { copyFile, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import type { GuestInfo } from "../../agent/drivers/driver.ts";
import { LibvirtDriver, type LibvirtOptions } from "../../agent/drivers/libvirt/libvirt-driver.ts";
import { POWER_STATE, type VncAddress } from "../../functions/protocol/guest.ts";
import type { GuestSpec } from "../../functions/protocol/methods.ts";
import { FULL_DRIVE } from "../config-drive.ts";
import { GRUB_ISO, LIBVIRT, LIBVIRT_NEEDS, type PrivateLibvirtd, startLibvirtd } from "./libvirtd.ts";
import { needs } from "./requirement.ts";

const { paths, apt } = LIBVIRT_NEEDS;
const missing = !needs("the libvirt driver's test", [...paths, GRUB_ISO], `${apt} grub-rescue-pc`);
const TIMEOUT_MS = 60_000;
const WAIT = { timeout: 15_000, interval: 100 };
const run = promisify(execFile);
const uuid = "6f1c2a3b-0000-4000-8000-000000000001";
const goOn = new AbortController().signal;

type Format = GuestSpec["image"]["disk_format"];
const spec = (disk_format: Format, disk_gb = 0): GuestSpec => ({
  display_name: `<b> & "q"\nline`,
  instance_name: "instance-00000001",
  project_id: "demo",
  vcpus: 1,
  memory_mb: 64,
  disk_gb,
  ephemerals: [],
  swap_mb: 0,
  image: { id: uuid, disk_format, size: 1, sha512: "0".repeat(128) },
  metadata: {},
  config_drive: null,
});

function greeting(address: VncAddress): Promise<string> {
  return new Promise((resolve, reject) => {
    const to = address.transport === "unix" ? { path: address.path } : { host: address.host, port: address.port };
    const socket = connect(to);
    socket.once("error", reject);
    socket.once("data", (bytes) => {
      socket.destroy();
      resolve(bytes.toString("latin1"));
    });
  });
}

async function image(root: string, name: string, args: string[]): Promise<string> {
  const path = join(root, name);
  await run("qemu-img", ["create", "-q", ...args.flatMap((it) => (it === "PATH" ? [path] : [it]))]);
  return path;
}

async function backing(disk: string): Promise<Record<string, unknown>> {
  return JSON.parse((await run("qemu-img", ["info", "-U", "-f", "qcow2", "--output=json", disk])).stdout);
}

describe.skipIf(missing)("LibvirtDriver on qemu:///session", () => {
  let libvirtd: PrivateLibvirtd;
  let driver: LibvirtDriver;
  let base = GRUB_ISO;
  let told: GuestInfo[] = [];
  const folder = () => join(libvirtd.root, "state/instances", uuid);
  const qemuId = async () => (await libvirtd.virsh("domid", "instance-00000001")).trim();

  async function open(over: Partial<LibvirtOptions> = {}): Promise<LibvirtDriver> {
    const ctx = { stateDir: join(libvirtd.root, "state"), image: async () => base, log: () => {} };
    const options: LibvirtOptions = { ...LIBVIRT, connection_uri: libvirtd.uri, wait_soft_reboot_seconds: 2 };
    const opened = new LibvirtDriver(ctx, { ...options, ...over });
    await opened.init();
    opened.onLifecycle((guest) => told.push(guest));
    return opened;
  }

  beforeAll(async () => {
    libvirtd = await startLibvirtd();
    await mkdir(join(libvirtd.root, "state"));
    driver = await open();
  }, TIMEOUT_MS);

  afterEach(async () => {
    await libvirtd.start();
    await driver.destroy(uuid);
    base = GRUB_ISO;
    told = [];
  }, TIMEOUT_MS);

  afterAll(async () => {
    await driver?.close();
    await libvirtd?.stop();
  }, TIMEOUT_MS);

  it("knows its host", async () => {
    const host = await driver.getAvailableResource();
    expect(host.hypervisor_type).toBe("QEMU");
    expect(host.hypervisor_version).toBeGreaterThan(1_000_000);
    for (const count of [host.vcpus, host.memory_mb, host.local_gb]) expect(count).toBeGreaterThan(0);
    expect(host.hypervisor_hostname).toBe((await libvirtd.virsh("hostname")).trim());
    const { model, arch, features = [], topology } = host.cpu_info ?? {};
    const told = await libvirtd.virsh("capabilities");
    expect(told).toContain(`<arch>${arch}</arch>`);
    expect(told).toContain(`<model>${model}</model>`);
    for (const name of features) expect(told).toContain(`<feature name='${name}'/>`);
    expect(topology?.cells).toBeGreaterThan(0);
  });

  it("builds, stops, starts and destroys a guest, each twice", { timeout: TIMEOUT_MS }, async () => {
    for (let i = 0; i < 2; i++) await driver.spawn(uuid, spec("iso", 1), goOn);
    expect(await driver.listGuests()).toEqual([{ uuid, power_state: POWER_STATE.RUNNING }]);
    expect(await greeting(await driver.getVncConsole(uuid))).toBe("RFB 003.008\n");
    expect((await libvirtd.virsh("desc", "--title", "instance-00000001")).trim()).toBe(`<b> & "q" line`);
    const id = await qemuId();
    await driver.powerOn(uuid);
    expect(await qemuId()).toBe(id);

    for (let i = 0; i < 2; i++) await driver.powerOff(uuid);
    expect(await driver.getInfo(uuid)).toEqual({ uuid, power_state: POWER_STATE.SHUTDOWN });
    await expect(driver.getVncConsole(uuid)).rejects.toMatchObject({ code: "ConsoleNotAvailable" });

    for (let i = 0; i < 2; i++) await driver.powerOn(uuid);
    expect(await driver.getInfo(uuid)).toEqual({ uuid, power_state: POWER_STATE.RUNNING });

    for (let i = 0; i < 2; i++) await driver.destroy(uuid);
    expect(await driver.getInfo(uuid)).toBeNull();
    expect(existsSync(folder())).toBe(false);
    expect((await libvirtd.virsh("list", "--all", "--name")).trim()).toBe("");
    await expect(driver.powerOn(uuid)).rejects.toMatchObject({ code: "InstanceNotFound" });
    await expect(driver.getVncConsole(uuid)).rejects.toMatchObject({ code: "InstanceNotFound" });
    expect(told).toEqual([]);
  });

  it("reboots into a new QEMU, and tells nobody that the guest was off", { timeout: TIMEOUT_MS }, async () => {
    await driver.spawn(uuid, spec("iso"), goOn);
    const first = await qemuId();
    await driver.reboot(uuid, "HARD", goOn);
    const second = await qemuId();
    expect(second).not.toBe(first);
    // GRUB does not hear the power button, so the wait runs out.
    await driver.reboot(uuid, "SOFT", goOn);
    expect(await qemuId()).not.toBe(second);
    await driver.powerOff(uuid);
    await driver.reboot(uuid, "SOFT", goOn);
    expect(await driver.getInfo(uuid)).toEqual({ uuid, power_state: POWER_STATE.RUNNING });
    expect(told).toEqual([]);
  });

  it("starts a guest that shut down in a SOFT reboot, and gives way to a power off", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const patient = await open({ wait_soft_reboot_seconds: 120 });
    try {
      await patient.spawn(uuid, spec("iso"), goOn);
      const first = await qemuId();
      const soft = patient.reboot(uuid, "SOFT", goOn);
      // What a guest that hears the power button does.
      await libvirtd.virsh("destroy", "instance-00000001");
      await soft;
      expect(await qemuId()).not.toBe(first);

      const hurry = new AbortController();
      const interrupted = patient.reboot(uuid, "SOFT", hurry.signal);
      const off = patient.powerOff(uuid);
      setTimeout(() => hurry.abort(), 500);
      await Promise.all([interrupted, off]);
      expect(await patient.getInfo(uuid)).toEqual({ uuid, power_state: POWER_STATE.SHUTDOWN });
    } finally {
      await patient.close();
    }
  });

  it("tells of what others did to its guest", { timeout: TIMEOUT_MS }, async () => {
    await driver.spawn(uuid, spec("iso"), goOn);
    const next = async (power_state: number) => {
      await vi.waitFor(() => expect(told.at(-1)).toEqual({ uuid, power_state }), WAIT);
    };
    await libvirtd.virsh("suspend", "instance-00000001");
    await next(POWER_STATE.PAUSED);
    await libvirtd.virsh("resume", "instance-00000001");
    await next(POWER_STATE.RUNNING);
    await libvirtd.virsh("destroy", "instance-00000001");
    await next(POWER_STATE.SHUTDOWN);
    await libvirtd.virsh("undefine", "instance-00000001");
    await next(POWER_STATE.NOSTATE);
    expect(told.length).toBe(4);
  });

  it("outlives a restart of libvirtd, and tells what happened meanwhile", { timeout: TIMEOUT_MS }, async () => {
    await driver.spawn(uuid, spec("iso"), goOn);
    const pid = Number(await readFile(join(libvirtd.root, "run/libvirt/qemu/run/instance-00000001.pid"), "utf8"));
    await libvirtd.halt();
    await expect(driver.getInfo(uuid)).rejects.toMatchObject({ code: "HypervisorUnavailable" });
    process.kill(pid, "SIGKILL");
    await libvirtd.start();
    await vi.waitFor(() => expect(told).toEqual([{ uuid, power_state: POWER_STATE.SHUTDOWN }]), WAIT);
    await driver.powerOn(uuid);
    await libvirtd.virsh("destroy", "instance-00000001");
    await vi.waitFor(() => expect(told.length).toBe(2), WAIT);
  });

  it("finds its guests again after its own restart", { timeout: TIMEOUT_MS }, async () => {
    await driver.spawn(uuid, spec("iso"), goOn);
    await driver.close();
    driver = await open();
    expect(await driver.listGuests()).toEqual([{ uuid, power_state: POWER_STATE.RUNNING }]);
    await driver.spawn(uuid, spec("iso"), goOn);
    expect(told).toEqual([]);
  });

  it("lays an overlay of the right size over a base, and names the base's format", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const raw = await image(libvirtd.root, "base.raw", ["-f", "raw", "PATH", "3M"]);
    const qcow2 = await image(libvirtd.root, "base.qcow2", ["-f", "qcow2", "PATH", "2G"]);
    for (const [path, format, gb, bytes] of [
      [raw, "raw", 1, 2 ** 30],
      [raw, "raw", 0, 3 * 2 ** 20],
      [qcow2, "qcow2", 3, 3 * 2 ** 30],
      [qcow2, "qcow2", 0, 2 ** 31],
    ] as const) {
      base = path;
      await driver.spawn(uuid, spec(format, gb), goOn);
      const info = await backing(join(folder(), "disk"));
      expect(info).toMatchObject({ "backing-filename-format": format, "virtual-size": bytes });
      await driver.destroy(uuid);
    }
    // A flavor is what its server may take of a host: a larger image does not widen it.
    base = qcow2;
    await expect(driver.spawn(uuid, spec("qcow2", 1), goOn)).rejects.toMatchObject({ code: "BuildAbortException" });
    await driver.destroy(uuid);
  });

  it("attaches a config drive that only its user can read, and keeps it over a stop", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const drive = join(folder(), "disk.config");
    for (let i = 0; i < 2; i++) await driver.spawn(uuid, { ...spec("iso", 1), config_drive: FULL_DRIVE }, goOn);
    const xml = await libvirtd.virsh("dumpxml", "instance-00000001");
    expect(xml.match(/<disk /g)).toHaveLength(3);
    expect(xml).toMatch(new RegExp(`device='cdrom'>\\s*<driver name='qemu' type='raw'/>\\s*<source file='${drive}'`));
    expect((await stat(drive)).mode & 0o777).toBe(0o600);
    expect((await readdir(folder())).sort()).toEqual(["console.log", "disk", "disk.config", "owner"]);
    const before = await readFile(drive);
    await driver.reboot(uuid, "HARD", goOn);
    expect((await readFile(drive)).equals(before)).toBe(true);
    await driver.destroy(uuid);
    expect(existsSync(drive)).toBe(false);
  });

  it("refuses a qcow2 image that leans on another file, and leaves no domain", { timeout: TIMEOUT_MS }, async () => {
    const secret = join(libvirtd.root, "secret");
    await writeFile(secret, Buffer.alloc(1 << 20, "secret"));
    const hostile = [
      [await image(libvirtd.root, "backed.qcow2", ["-f", "qcow2", "-F", "raw", "-b", secret, "PATH"]), "backing file"],
      [
        await image(libvirtd.root, "data.qcow2", ["-f", "qcow2", "-o", `data_file=${secret}.d`, "PATH", "1M"]),
        "data file",
      ],
      [secret, "not qcow2"],
    ] as const;
    for (const [path, why] of hostile) {
      base = path;
      const refused = driver.spawn(uuid, spec("qcow2"), goOn);
      await expect(refused).rejects.toMatchObject({ code: "ImageUnacceptable", message: expect.stringContaining(why) });
      await expect(refused).rejects.not.toThrow(libvirtd.root);
      expect(await driver.getInfo(uuid)).toBeNull();
    }
  });

  it("refuses a raw image that another would take for qcow2", { timeout: TIMEOUT_MS }, async () => {
    const secret = join(libvirtd.root, "secret");
    await writeFile(secret, Buffer.alloc(1 << 20, "secret"));
    base = await image(libvirtd.root, "polyglot.raw", ["-f", "qcow2", "-F", "raw", "-b", secret, "PATH"]);
    const refused = driver.spawn(uuid, spec("raw"), goOn);
    await expect(refused).rejects.toMatchObject({
      code: "ImageUnacceptable",
      message: expect.stringContaining("not raw"),
    });
    expect(await driver.getInfo(uuid)).toBeNull();
  });

  it("names the images that its guests lean on, as they run and as they would start", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const small = await image(libvirtd.root, "small.qcow2", ["-f", "qcow2", "PATH", "1M"]);
    base = small;
    await driver.spawn(uuid, spec("qcow2"), goOn);
    expect(await driver.usedImages()).toContain("small.qcow2");
    await driver.powerOff(uuid);
    expect(await driver.usedImages()).toContain("small.qcow2");
    base = GRUB_ISO;
    await driver.rescue(uuid, { image: spec("iso").image, spec: null }, goOn);
    expect([...(await driver.usedImages())]).toEqual(expect.arrayContaining(["small.qcow2", basename(GRUB_ISO)]));
    await driver.powerOff(uuid);
    expect([...(await driver.usedImages())]).toEqual(expect.arrayContaining(["small.qcow2", basename(GRUB_ISO)]));
    await driver.unrescue(uuid);
    expect(await driver.usedImages()).not.toContain(basename(GRUB_ISO));
    await driver.destroy(uuid);
    expect((await driver.usedImages()).size).toBe(0);
  });

  it("gives up a build when told, and destroys what there is of it", { timeout: TIMEOUT_MS }, async () => {
    const stopped = AbortSignal.abort();
    await expect(driver.spawn(uuid, spec("iso"), stopped)).rejects.toMatchObject({ code: "BuildAbortException" });
    const during = new AbortController();
    base = await image(libvirtd.root, "base.qcow2", ["-f", "qcow2", "PATH", "1G"]);
    const build = driver.spawn(uuid, spec("qcow2"), during.signal);
    const gone = driver.destroy(uuid);
    during.abort();
    await expect(build).rejects.toMatchObject({ code: "BuildAbortException" });
    await gone;
    expect(await driver.getInfo(uuid)).toBeNull();
    expect(existsSync(folder())).toBe(false);
  });

  it("leaves a domain alone that it did not make", { timeout: TIMEOUT_MS }, async () => {
    const file = join(libvirtd.root, "foreign.xml");
    await writeFile(
      file,
      `<domain type='qemu'><name>foreign</name><uuid>${uuid}</uuid><memory unit='MiB'>32</memory><os><type>hvm</type></os></domain>`,
    );
    await libvirtd.virsh("create", file);
    try {
      expect(await driver.listGuests()).toEqual([]);
      expect(await driver.getInfo(uuid)).toBeNull();
      await driver.destroy(uuid);
      await expect(driver.powerOff(uuid)).rejects.toMatchObject({ code: "InstanceNotFound" });
      await expect(driver.spawn(uuid, spec("iso"), goOn)).rejects.toMatchObject({ code: "BuildAbortException" });
      expect(await libvirtd.virsh("domstate", "foreign")).toContain("running");
      expect(told).toEqual([]);
    } finally {
      await libvirtd.virsh("destroy", "foreign");
    }
  });

  it("takes no path for a uuid", async () => {
    await expect(driver.destroy("../../x")).rejects.toMatchObject({ code: "InvalidCall" });
  });

  it("says what to do when libvirt is not there", async () => {
    const ctx = { stateDir: libvirtd.root, image: async () => base, log: () => {} };
    const connection_uri = `qemu:///system?socket=${libvirtd.root}/none`;
    const lost = new LibvirtDriver(ctx, { ...LIBVIRT, connection_uri });
    const advice = /apt-get install libvirt-daemon-system qemu-system-x86 qemu-utils/;
    await expect(lost.init()).rejects.toMatchObject({ code: "HypervisorUnavailable" });
    await expect(lost.init()).rejects.toThrow(advice);
  });
});

const root = process.geteuid?.() === 0;
describe.skipIf(missing || !root)("LibvirtDriver on qemu:///system", () => {
  let libvirtd: PrivateLibvirtd;
  let driver: LibvirtDriver;
  let base: string;

  beforeAll(async () => {
    libvirtd = await startLibvirtd("system");
    const stateDir = join(libvirtd.root, "state");
    // As an agent with a strict umask would make them.
    await mkdir(stateDir, { mode: 0o700 });
    base = join(libvirtd.root, "base.iso");
    await copyFile(GRUB_ISO, base);
    await run("chmod", ["0400", base]);
    const ctx = { stateDir, image: async () => base, log: () => {} };
    driver = new LibvirtDriver(ctx, { ...LIBVIRT, connection_uri: libvirtd.uri });
    await driver.init();
  }, TIMEOUT_MS);

  afterAll(async () => {
    await driver?.destroy(uuid);
    await driver?.close();
    await libvirtd?.stop();
  }, TIMEOUT_MS);

  it("runs QEMU as its own user, and never gives it the base", { timeout: TIMEOUT_MS }, async () => {
    for (const format of ["iso", "raw"] as const) {
      const empty: Partial<GuestSpec> = { ephemerals: [{ size: 1, format: "ext4" }], swap_mb: 8 };
      await driver.spawn(uuid, { ...spec(format, 1), ...empty, config_drive: FULL_DRIVE }, goOn);
      expect(await greeting(await driver.getVncConsole(uuid))).toBe("RFB 003.008\n");
      const names = ["disk.config", "disk", "disk.eph0", "disk.swap"];
      const files = await Promise.all(names.map((name) => stat(join(libvirtd.root, "state/instances", uuid, name))));
      const [drive] = files;
      expect(files.map((file) => file.uid)).not.toContain(0);
      expect((drive?.mode ?? 0) & 0o777).toBe(0o600);
      const { uid, mode } = await stat(base);
      expect([uid, (mode & 0o777).toString(8)]).toEqual([0, "440"]);
      await driver.reboot(uuid, "HARD", goOn);
      await driver.powerOff(uuid);
      await driver.powerOn(uuid);
      await driver.suspend(uuid);
      await driver.resume(uuid);
      await driver.rescue(
        uuid,
        { image: spec(format).image, spec: { ...spec(format), config_drive: FULL_DRIVE } },
        goOn,
      );
      await driver.unrescue(uuid);
      expect([(await stat(base)).uid, (await driver.getInfo(uuid))?.power_state]).toEqual([0, POWER_STATE.RUNNING]);
      await driver.destroy(uuid);
    }
  });

  it("says so when QEMU cannot reach the state folder", async () => {
    const closed = join(libvirtd.root, "closed");
    await mkdir(join(closed, "state"), { recursive: true });
    await run("chmod", ["0700", closed]);
    const ctx = { stateDir: join(closed, "state"), image: async () => base, log: () => {} };
    const shut = new LibvirtDriver(ctx, { ...LIBVIRT, connection_uri: libvirtd.uri });
    await expect(shut.init()).rejects.toMatchObject({ code: "HypervisorUnavailable" });
    await expect(shut.init()).rejects.toThrow("0711");
  });
});
