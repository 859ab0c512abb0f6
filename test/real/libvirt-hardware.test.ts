/** What an image and a flavor say of a guest's hardware, on a real libvirtd and real QEMU guests (TCG). */
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { parseConfig } from "../../agent/config.ts";
import { LibvirtDriver } from "../../agent/drivers/libvirt/libvirt-driver.ts";
import { readElements } from "../../agent/drivers/libvirt/xml.ts";
import { POWER_STATE } from "../../functions/protocol/guest.ts";
import type { Hardware } from "../../functions/protocol/hardware.ts";
import type { GuestSpec } from "../../functions/protocol/methods.ts";
import { FULL_DRIVE } from "../config-drive.ts";
import { bootDisk } from "./boot-sector.ts";
import { LIBVIRT_NEEDS, type PrivateLibvirtd, startLibvirtd } from "./libvirtd.ts";
import { needs } from "./requirement.ts";

const OVMF = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const { paths, apt } = LIBVIRT_NEEDS;
const missing = !needs("the test of libvirt's hardware", [...paths, OVMF], `${apt} ovmf`);
const TIMEOUT_MS = 150_000;
const WAIT = { timeout: 100_000, interval: 200 };
const uuid = "6f1c2a3b-0000-4000-8000-000000000013";
const NAME = "instance-00000013";
const goOn = new AbortController().signal;

const spec = (hardware: Hardware, change: Partial<GuestSpec> = {}): GuestSpec => ({
  display_name: "hardware",
  instance_name: NAME,
  project_id: "demo",
  vcpus: 1,
  memory_mb: 128,
  disk_gb: 1,
  ephemerals: [],
  swap_mb: 0,
  image: { id: uuid, disk_format: "raw", size: 1, sha512: "0".repeat(128) },
  hardware,
  metadata: {},
  config_drive: null,
  ...change,
});

describe.skipIf(missing)("a guest's hardware", () => {
  let libvirtd: PrivateLibvirtd;
  let driver: LibvirtDriver;
  const folder = () => join(libvirtd.root, "state/instances", uuid);
  const said = async () => (await driver.getConsoleOutput(uuid)).toString("latin1");
  const live = async () => readElements(await libvirtd.virsh("dumpxml", NAME));
  const attributes = async (path: string) =>
    (await live()).filter((it) => it.path === `domain/${path}`).map((it) => it.attributes);

  async function open(toml: string): Promise<LibvirtDriver> {
    const ctx = {
      stateDir: join(libvirtd.root, "state"),
      image: async () => join(libvirtd.root, "image"),
      log: () => {},
    };
    const { libvirt } = parseConfig(`[libvirt]\nconnection_uri = '${libvirtd.uri}'\nvirt_type = 'qemu'\n${toml}`);
    const opened = new LibvirtDriver(ctx, libvirt);
    await opened.init();
    return opened;
  }

  beforeAll(async () => {
    libvirtd = await startLibvirtd();
    await mkdir(join(libvirtd.root, "state"));
    await writeFile(join(libvirtd.root, "image"), bootDisk("own"));
    driver = await open("network = 'user'");
  }, TIMEOUT_MS);
  afterEach(async () => {
    await driver.destroy(uuid);
  }, TIMEOUT_MS);
  afterAll(async () => {
    await driver?.close();
    await libvirtd?.stop();
  }, TIMEOUT_MS);

  it("boots q35 by UEFI, whose variables go with the guest", { timeout: TIMEOUT_MS }, async () => {
    await driver.spawn(uuid, spec({ firmware_type: "uefi", machine_type: "q35", disk_bus: "scsi" }), goOn);
    await vi.waitFor(async () => expect(await said()).toContain("BdsDxe"), WAIT);
    expect((await attributes("os/type"))[0]?.machine).toMatch(/^pc-q35-/);
    expect(existsSync(join(folder(), "nvram.fd"))).toBe(true);
    await driver.destroy(uuid);
    expect(existsSync(folder())).toBe(false);
    await driver.spawn(uuid, spec({ firmware_type: "uefi", secure_boot: "required" }), goOn);
    expect(await attributes("os/loader")).toMatchObject([{ secure: "yes" }]);
  });

  it("boots i440fx by BIOS from an IDE disk, its config drive beside it, and rescues it there", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const hardware: Hardware = { machine_type: "pc", firmware_type: "bios", disk_bus: "ide", video_model: "cirrus" };
    await driver.spawn(uuid, spec(hardware, { config_drive: FULL_DRIVE }), goOn);
    await vi.waitFor(async () => expect(await said()).toContain("own"), WAIT);
    expect((await attributes("os/type"))[0]?.machine).toMatch(/^pc-i440fx-/);
    expect(await attributes("devices/disk/target")).toEqual([
      { dev: "hda", bus: "ide" },
      { dev: "hdb", bus: "ide" },
    ]);
    await writeFile(join(libvirtd.root, "image"), bootDisk("rescue"));
    await driver.rescue(uuid, { image: spec({}).image, spec: null }, goOn);
    await vi.waitFor(async () => expect(await said()).toContain("rescue"), WAIT);
    expect((await attributes("devices/disk/target")).map(({ dev }) => dev)).toEqual(["hda", "hdb", "hdc"]);
  });

  it("limits disks, and has an interface that keeps its MAC", { timeout: TIMEOUT_MS }, async () => {
    const limits = { disk_read_iops_sec: 100, disk_write_bytes_sec: 1 << 20, vif_inbound_average: 10 };
    const all: Hardware = {
      limits,
      vif_model: "e1000e",
      video_model: "virtio",
      input_bus: "virtio",
      boot_menu: true,
      watchdog_action: "reset",
      serial_port_count: 2,
      rng: { rate_bytes: 1024, rate_period: 1000 },
      cpu_topology: { sockets: 1, cores: 2, threads: 1 },
      hide_hypervisor_id: true,
    };
    await driver.spawn(uuid, spec(all, { vcpus: 2, swap_mb: 1 }), goOn);
    for (const disk of ["vda", "vdb"]) {
      const tune = await libvirtd.virsh("blkdeviotune", NAME, disk);
      expect(tune).toMatch(/read_iops_sec *: 100\n/);
      expect(tune).toMatch(/write_bytes_sec *: 1048576\n/);
    }
    const [own] = await driver.listNetworks();
    expect(own).toMatchObject({
      uuid,
      power_state: POWER_STATE.RUNNING,
      interfaces: [{ network: "user", addresses: [] }],
    });
    const mac = own?.interfaces[0]?.mac ?? "none";
    expect(await libvirtd.virsh("domiflist", NAME)).toContain(mac);
    expect(await attributes("devices/watchdog")).toContainEqual({ model: "i6300esb", action: "reset" });
    expect(await attributes("cpu/topology")).toMatchObject([{ sockets: "1", cores: "2", threads: "1" }]);
    await driver.rebuild(uuid, { spec: spec({}), start: true }, goOn);
    expect((await driver.listNetworks())[0]?.interfaces[0]?.mac).toBe(mac);
    expect(await libvirtd.virsh("blkdeviotune", NAME, "vda")).toMatch(/read_iops_sec *: 0\n/);
  });

  it("says what cannot be had, before anything is made or lost", { timeout: TIMEOUT_MS }, async () => {
    const refused = async (hardware: Hardware, why: string) =>
      expect(driver.spawn(uuid, spec(hardware), goOn)).rejects.toMatchObject({
        code: "NotSupported",
        message: expect.stringContaining(why),
      });
    await refused({ disk_bus: "xen" }, "hw_disk_bus=xen");
    await refused({ limits: { cpu_shares: 10 } }, "qemu:///system");
    await refused({ firmware_type: "uefi", secure_boot: "required", machine_type: "pc" }, "hw_machine_type=q35");
    expect(existsSync(folder())).toBe(false);
    await expect(driver.spawn(uuid, spec({ machine_type: "no-such-machine" }), goOn)).rejects.toMatchObject({
      code: "BuildAbortException",
    });
  });
});
