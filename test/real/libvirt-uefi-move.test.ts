/** A guest of UEFI on its way between hosts: its firmware's variables are its own, and go where it goes. */
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { LIVE_MIGRATION } from "../live-migration-options.ts";
import { bootDisk } from "./boot-sector.ts";
import { LIBVIRT_NEEDS } from "./libvirtd.ts";
import { movedSpec, printed } from "./moved-guest.ts";
import { type Host, MovingHosts } from "./moving-hosts.ts";
import { needs } from "./requirement.ts";

const { paths, apt } = LIBVIRT_NEEDS;
const OVMF = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const missing = !needs("the test of UEFI guests that move", ["/usr/bin/unshare", OVMF, ...paths], `${apt} ovmf`);
const TIMEOUT_MS = 240_000;
const WAIT = { timeout: 90_000, interval: 300 };
const uuid = "6f1c2a3b-0000-4000-8000-000000000016";
const NAME = "instance-00000016";
const spec = movedSpec({
  instance_name: NAME,
  memory_mb: 256,
  ephemerals: [],
  swap_mb: 0,
  hardware: { firmware_type: "uefi", machine_type: "q35" },
});

describe.skipIf(missing)("a guest of UEFI", () => {
  let hosts: MovingHosts;
  let from: Host;
  let to: Host;

  beforeAll(async () => {
    hosts = await MovingHosts.open();
    [from, to] = await Promise.all([hosts.start("from"), hosts.start("to")]);
    for (const host of [from, to]) await host.setBase(bootDisk("own").toString("base64"));
  }, TIMEOUT_MS);
  afterAll(() => hosts?.stop([from, to]), TIMEOUT_MS);

  /** UEFI's own shell, as our disk is none that UEFI boots. */
  const shell = (host: Host) => vi.waitFor(async () => expect(await printed(host, uuid)).toContain("Shell>"), WAIT);

  /** Types a line on the guest's keyboard. */
  async function type(host: Host, line: string): Promise<void> {
    const keys = [...line].map((key) => (key === " " ? "KEY_SPACE" : `KEY_${key.toUpperCase()}`));
    for (const key of [...keys, "KEY_ENTER"]) await host.virsh("send-key", NAME, key);
  }

  /** What the shell answers to a name of its variables, which are among UEFI's. */
  const answers = (host: Host) =>
    vi.waitFor(async () => {
      await type(host, "set zz");
      expect(stripVTControlCharacters(await printed(host, uuid))).toContain("zz = yy");
    }, WAIT);

  it("has its variables after a live move, and a cold one", { timeout: TIMEOUT_MS }, async () => {
    await from.call("spawn", uuid, spec);
    await shell(from);
    await type(from, "set zz yy");
    await answers(from);

    const order = { spec, data: await from.checkSource(uuid), block_migration: true };
    await to.checkDestination(uuid, order);
    await hosts.link(from, to);
    await to.preLiveMigration(uuid, order);
    expect(await from.liveMigration(uuid, LIVE_MIGRATION)).toEqual({ aborted: false });
    await to.postLiveMigration(uuid);
    await answers(to);
    await to.call("powerOff", uuid);
    await to.call("powerOn", uuid);
    await shell(to);
    await answers(to);

    const migration = "6f1c2a3b-0000-4000-8000-000000000099";
    await to.migrateDiskAndPowerOff(uuid, migration);
    const disks = (await to.disksOf(uuid, migration)) ?? [];
    const names = disks.map(({ name }) => name);
    expect(names).toEqual(["disk", "disk.config", "nvram.fd"]);
    const targets = await from.prepareDisks(uuid, spec, names);
    for (const [i, { path }] of disks.entries()) await copyFile(path, targets[i] ?? "");
    await from.finishMigration(uuid, spec, true);
    await shell(from);
    await answers(from);
    const xml = await from.virsh("dumpxml", NAME);
    expect(xml).toContain(join(await from.root(), "state/instances", uuid, "nvram.fd"));
    for (const host of [from, to]) await host.call("destroy", uuid);
  });
});
