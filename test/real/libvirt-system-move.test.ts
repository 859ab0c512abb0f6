/**
 * Guests that run, moved between two hosts as production has them: qemu:///system, where QEMU is a user of its own that
 * files and sockets have to be given to.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { POWER_STATE } from "../../functions/protocol/guest.ts";
import { LIVE_MIGRATION } from "../live-migration-options.ts";
import { bootDisk } from "./boot-sector.ts";
import { LIBVIRT_NEEDS } from "./libvirtd.ts";
import { expectAlive, movedSpec, printed, SLOW, WAIT } from "./moved-guest.ts";
import { type Host, MovingHosts } from "./moving-hosts.ts";
import { needs } from "./requirement.ts";

const { paths, apt } = LIBVIRT_NEEDS;
const missing = !needs("the libvirt driver's test of qemu:///system hosts", ["/usr/bin/unshare", ...paths], apt);
const notRoot = process.geteuid?.() !== 0;
const TIMEOUT_MS = 120_000;
const uuid = "6f1c2a3b-0000-4000-8000-000000000015";
const NAME = "instance-00000012";
/** What libvirt gives a guest's files back to. */
const OURS = "0:0";

describe.skipIf(missing || notRoot)("a live migration between two qemu:///system", () => {
  let hosts: MovingHosts;
  let from: Host;
  let to: Host;
  let roots: { from: string; to: string };
  let qemu: string;
  const folder = (root: string) => join(root, "state/instances", uuid);

  beforeAll(async () => {
    hosts = await MovingHosts.open();
    const start = (name: string) => hosts.start(name, "moving-host.ts", { LIBVIRTD: "system" });
    [from, to] = await Promise.all([start("from"), start("to")]);
    roots = { from: await from.root(), to: await to.root() };
    const user = /^libvirt-qemu:[^:]*:(\d+):/m.exec(await readFile("/etc/passwd", "utf8"))?.[1];
    qemu = `${user}:`;
    for (const host of [from, to]) await host.setBase(bootDisk("own").toString("base64"));
  }, TIMEOUT_MS);
  afterEach(async () => {
    for (const host of [from, to]) {
      await host.call("destroy", uuid);
      expect(await host.files(folder(await host.root()))).toBeNull();
      expect(await host.files("/run")).not.toContain(`edgenova-move-${uuid}`);
    }
  }, TIMEOUT_MS);
  afterAll(() => hosts?.stop([from, to]), TIMEOUT_MS);

  const power = async (host: Host) => (await host.call("getInfo", uuid)) as { power_state: number } | null;

  async function prepared(): Promise<void> {
    const spec = movedSpec({ instance_name: NAME });
    const order = { spec, data: await from.checkSource(uuid), block_migration: true };
    await to.checkDestination(uuid, order);
    await hosts.link(from, to);
    await to.preLiveMigration(uuid, order);
  }

  async function booted(): Promise<void> {
    await from.call("spawn", uuid, movedSpec({ instance_name: NAME }));
    await vi.waitFor(async () => expect(await printed(from, uuid)).toContain("own"), WAIT);
    await from.told();
  }

  it("gives its files to that host's QEMU, and keeps the image as it is", { timeout: TIMEOUT_MS }, async () => {
    await booted();
    await prepared();
    expect(await from.liveMigration(uuid, LIVE_MIGRATION)).toEqual({ aborted: false });
    await to.postLiveMigration(uuid);
    expect(await power(to)).toEqual({ uuid, power_state: POWER_STATE.RUNNING });
    await expectAlive(to, uuid);
    expect(await power(from)).toBeNull();
    expect(await from.files(folder(roots.from))).toBeNull();
    for (const name of ["disk", "disk.eph0", "disk.swap", "disk.config"]) {
      expect(await to.ownerOf(join(folder(roots.to), name)), name).toContain(qemu);
    }
    for (const [host, root] of [
      [from, roots.from],
      [to, roots.to],
    ] as const) {
      expect(await host.ownerOf(join(root, "base"))).toMatch(/^0:/);
    }
    expect(await to.ownerOf(folder(roots.to))).toBe(`${OURS} 711`);
    expect([await from.told(), await to.told()]).toEqual([[], [{ uuid, power_state: POWER_STATE.RUNNING }]]);
    await to.call("powerOff", uuid);
    expect(await to.ownerOf(join(folder(roots.to), "disk"))).toContain(OURS);
    await to.call("powerOn", uuid);
    await vi.waitFor(async () => expect(await printed(to, uuid)).toContain("own"), WAIT);
  });

  it("that is aborted leaves the guest its files, and none at the other host", { timeout: TIMEOUT_MS }, async () => {
    await booted();
    await prepared();
    const moving = from.liveMigration(uuid, SLOW);
    await vi.waitFor(async () => expect((await from.progress()).at(-1)?.disk_total).toBeGreaterThan(0), WAIT);
    await from.abortLiveMigration(uuid);
    expect(await moving).toEqual({ aborted: true });
    await to.call("destroy", uuid);
    expect(await to.virsh("list", "--all", "--name")).toBe("\n");
    expect(await from.ownerOf(join(folder(roots.from), "disk"))).toContain(qemu);
    await expectAlive(from, uuid);
  });
});
