/** What a guest's own agent does for the driver: a real Linux with a real qemu-ga, in TCG. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { parseConfig } from "../../agent/config.ts";
import { macOf } from "../../agent/drivers/libvirt/interface-xml.ts";
import { LibvirtDriver } from "../../agent/drivers/libvirt/libvirt-driver.ts";
import { POWER_STATE } from "../../functions/protocol/guest.ts";
import type { GuestSpec } from "../../functions/protocol/methods.ts";
import { bootDisk } from "./boot-sector.ts";
import { LIBVIRT_NEEDS, type PrivateLibvirtd, startLibvirtd } from "./libvirtd.ts";
import { LINUX_NEEDS, linuxGuest } from "./linux-guest.ts";
import { needs } from "./requirement.ts";

const missing = !needs(
  "the test of a guest's agent",
  [...LIBVIRT_NEEDS.paths, ...LINUX_NEEDS.paths],
  `${LIBVIRT_NEEDS.apt} ${LINUX_NEEDS.apt}`,
);
const TIMEOUT_MS = 150_000;
const WAIT = { timeout: 100_000, interval: 200 };
const uuid = "6f1c2a3b-0000-4000-8000-000000000015";
const NAME = "instance-00000015";
const goOn = new AbortController().signal;
const spec: GuestSpec = {
  ...{ display_name: "linux", instance_name: NAME, project_id: "demo", vcpus: 1, memory_mb: 256, disk_gb: 1 },
  ...{ ephemerals: [], swap_mb: 0, metadata: {}, config_drive: null },
  image: { id: uuid, disk_format: "raw", size: 1, sha512: "0".repeat(128), guest_agent: true },
  hardware: { admin_user: "debian", require_quiesce: true },
};

describe.skipIf(missing)("a guest with an agent", () => {
  let libvirtd: PrivateLibvirtd;
  let driver: LibvirtDriver;
  const said = async () => (await driver.getConsoleOutput(uuid)).toString("latin1");
  const frozen = async () =>
    JSON.parse(await libvirtd.virsh("qemu-agent-command", NAME, '{"execute":"guest-fsfreeze-status"}')).return;

  async function open(): Promise<LibvirtDriver> {
    const image = join(libvirtd.root, "image");
    const ctx = { stateDir: join(libvirtd.root, "state"), image: async () => image, log: () => {} };
    const toml = `[libvirt]\nconnection_uri = '${libvirtd.uri}'\nvirt_type = 'qemu'\nnetwork = 'user'`;
    const opened = new LibvirtDriver(ctx, parseConfig(toml).libvirt);
    await opened.init();
    return opened;
  }

  beforeAll(async () => {
    libvirtd = await startLibvirtd();
    await mkdir(join(libvirtd.root, "state"));
    await writeFile(join(libvirtd.root, "image"), bootDisk("own"));
    driver = await open();
    await driver.spawn(uuid, spec, goOn);
    // The driver boots from disks alone: the kernel is put under the guest that it made.
    await driver.powerOff(uuid);
    const { kernel, initrd } = await linuxGuest();
    await writeFile(join(libvirtd.root, "initrd"), initrd);
    const boots = `<kernel>${kernel}</kernel><initrd>${join(libvirtd.root, "initrd")}</initrd><cmdline>console=ttyS0 quiet no_timer_check</cmdline></os>`;
    const file = join(libvirtd.root, "linux.xml");
    await writeFile(file, (await libvirtd.virsh("dumpxml", "--inactive", NAME)).replace("</os>", boots));
    await libvirtd.virsh("define", file);
    await driver.powerOn(uuid);
    await vi.waitFor(async () => expect(await said()).toContain("READY"), WAIT);
    await vi.waitFor(async () => expect(await frozen()).toBe("thawed"), WAIT);
  }, TIMEOUT_MS);
  afterAll(async () => {
    await driver?.close();
    await libvirtd?.stop();
  }, TIMEOUT_MS);

  it("has the address that it took by DHCP read back", async () => {
    expect(await driver.listNetworks()).toEqual([
      {
        uuid,
        power_state: POWER_STATE.RUNNING,
        interfaces: [{ network: "user", mac: macOf(uuid), addresses: expect.arrayContaining(["10.0.2.15"]) }],
      },
    ]);
  });

  it("has its administrator's password set, by the name that the image says", async () => {
    await driver.setAdminPassword(uuid, "s3cret");
    await vi.waitFor(async () => expect(await said()).toContain("PASSWORD debian:s3cret"), WAIT);
  });

  it("holds still while a snapshot begins, and goes on", { timeout: TIMEOUT_MS }, async () => {
    await driver.snapshot(uuid, join(libvirtd.root, "copy"), goOn);
    expect(await frozen()).toBe("thawed");
  });

  it("is thawed by the next agent when one ended while it was frozen", { timeout: TIMEOUT_MS }, async () => {
    await writeFile(join(libvirtd.root, "state/instances", uuid, "frozen"), "");
    await libvirtd.virsh("domfsfreeze", NAME);
    expect(await frozen()).toBe("frozen");
    await driver.close();
    driver = await open();
    expect(await frozen()).toBe("thawed");
  });

  it("shuts down by its agent when it is asked to", { timeout: TIMEOUT_MS }, async () => {
    await driver.powerOff(uuid, { seconds: 60, hurry: goOn });
    expect(await said()).toContain("SHUTDOWN BY AGENT");
    expect(await driver.getInfo(uuid)).toEqual({ uuid, power_state: POWER_STATE.SHUTDOWN });
  });
});
