/** The driver on a libvirt that is not QEMU's: its own mock, `test:///default`, by a real libvirtd. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { GuestInfo } from "../../agent/drivers/driver.ts";
import { LibvirtDriver } from "../../agent/drivers/libvirt/libvirt-driver.ts";
import { POWER_STATE } from "../../functions/protocol/guest.ts";
import type { GuestSpec } from "../../functions/protocol/methods.ts";
import { bootDisk } from "./boot-sector.ts";
import { LIBVIRT, LIBVIRT_NEEDS, type PrivateLibvirtd, startLibvirtd } from "./libvirtd.ts";
import { needs } from "./requirement.ts";

const missing = !needs("the test of other libvirts", LIBVIRT_NEEDS.paths, LIBVIRT_NEEDS.apt);
const TIMEOUT_MS = 60_000;
const uuid = "6f1c2a3b-0000-4000-8000-000000000014";
const goOn = new AbortController().signal;
const spec: GuestSpec = {
  display_name: "mock",
  instance_name: "instance-00000014",
  project_id: "demo",
  vcpus: 1,
  memory_mb: 64,
  disk_gb: 1,
  ephemerals: [],
  swap_mb: 0,
  image: { id: uuid, disk_format: "raw", size: 1, sha512: "0".repeat(128), guest_agent: true },
  hardware: { limits: { disk_read_iops_sec: 100 } },
  metadata: {},
  config_drive: null,
};

describe.skipIf(missing)("LibvirtDriver on another libvirt than QEMU's", () => {
  let libvirtd: PrivateLibvirtd;

  async function open(name: string): Promise<LibvirtDriver> {
    const image = join(libvirtd.root, "image");
    await writeFile(image, bootDisk("own"));
    const ctx = { stateDir: join(libvirtd.root, "state"), image: async () => image, log: () => {} };
    const connection_uri = `${name}?socket=${libvirtd.socket}`;
    const network = { kind: "network", name: "default" } as const;
    const driver = new LibvirtDriver(ctx, { ...LIBVIRT, connection_uri, network });
    await driver.init();
    return driver;
  }

  beforeAll(async () => {
    libvirtd = await startLibvirtd();
    await mkdir(join(libvirtd.root, "state"));
  }, TIMEOUT_MS);
  afterAll(() => libvirtd?.stop(), TIMEOUT_MS);

  it("carries guests of test:///default through their lives, and its own domain is none of ours", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const driver = await open("test:///default");
    const told: GuestInfo[] = [];
    driver.onLifecycle((guest) => told.push(guest));
    const state = async () => (await driver.getInfo(uuid))?.power_state ?? null;
    try {
      const host = await driver.getAvailableResource();
      expect(host).toMatchObject({
        hypervisor_type: "TEST",
        supported_instances: [{ hv_type: "test", vm_mode: "hvm" }],
      });
      expect(await driver.listGuests()).toEqual([]);
      for (let i = 0; i < 2; i++) await driver.spawn(uuid, spec, goOn);
      expect(await driver.listGuests()).toEqual([{ uuid, power_state: POWER_STATE.RUNNING }]);
      await driver.pause(uuid);
      expect(await state()).toBe(POWER_STATE.PAUSED);
      await driver.unpause(uuid);
      await driver.suspend(uuid);
      expect(await state()).toBe(POWER_STATE.SUSPENDED);
      await driver.resume(uuid);
      expect(await state()).toBe(POWER_STATE.RUNNING);
      await driver.powerOff(uuid, { seconds: 10, hurry: goOn });
      expect(await state()).toBe(POWER_STATE.SHUTDOWN);
      await driver.powerOn(uuid);
      await driver.reboot(uuid, "HARD", goOn);
      expect(await state()).toBe(POWER_STATE.RUNNING);

      // What this hypervisor has not is said as that, and never as a failure of the agent's.
      await expect(driver.getVncConsole(uuid)).rejects.toMatchObject({ code: "ConsoleNotAvailable" });
      await expect(driver.getConsoleOutput(uuid)).rejects.toMatchObject({ code: "ConsoleNotAvailable" });
      await expect(driver.snapshot(uuid, join(libvirtd.root, "copy"), goOn)).rejects.toMatchObject({
        code: "NotSupported",
      });
      expect(await driver.getDiagnostics(uuid)).toMatchObject({ state: "running", hypervisor: "test" });

      await driver.setAdminPassword(uuid, "secret");
      const [guest] = await driver.listNetworks();
      // The mock has a lease of its own for every interface.
      const own = {
        network: "default",
        mac: expect.any(String),
        addresses: [expect.stringMatching(/^192\.168\.122\./)],
      };
      expect(guest).toEqual({ uuid, power_state: POWER_STATE.RUNNING, interfaces: [own] });
      await driver.rebuild(uuid, { spec, start: false }, goOn);
      expect(await state()).toBe(POWER_STATE.SHUTDOWN);
      for (let i = 0; i < 2; i++) await driver.destroy(uuid);
      expect(await state()).toBeNull();
      expect(told).toEqual([]);
    } finally {
      await driver.close();
    }
  });

  it.each(["xen:///system", "lxc:///system"])("says that %s has no driver here", async (name) => {
    await expect(open(name)).rejects.toMatchObject({
      code: "HypervisorUnavailable",
      message: expect.stringContaining("libvirt-daemon-driver-"),
    });
  });
});
