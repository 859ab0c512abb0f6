/** Guests that run, moved between two real libvirtds (QEMU, TCG) over streams of ours, and what may go wrong on the way. */
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { POWER_STATE } from "../../functions/protocol/guest.ts";
import type { GuestSpec } from "../../functions/protocol/methods.ts";
import { LIVE_MIGRATION } from "../live-migration-options.ts";
import { bootDisk } from "./boot-sector.ts";
import { LIBVIRT_NEEDS } from "./libvirtd.ts";
import { expectAlive as alive, movedSpec, printed as printedBy, SLOW, WAIT } from "./moved-guest.ts";
import type { LinkLimits } from "./moving-host.ts";
import { type Host, MovingHosts } from "./moving-hosts.ts";
import { needs } from "./requirement.ts";

const { paths, apt } = LIBVIRT_NEEDS;
const missing = !needs("the libvirt driver's test of live migration", ["/usr/bin/unshare", ...paths], apt);
const TIMEOUT_MS = 120_000;
const run = promisify(execFile);
const uuid = "6f1c2a3b-0000-4000-8000-000000000012";
const NAME = "instance-00000012";
const { RUNNING, PAUSED } = POWER_STATE;

const spec = (over: Partial<GuestSpec> = {}) => movedSpec({ instance_name: NAME, ...over });

/** Without disks that are zeroed at the bandwidth of the migration. */
const BARE = spec({ ephemerals: [], swap_mb: 0 });

describe.skipIf(missing)("a live migration between two qemu:///session", () => {
  let hosts: MovingHosts;
  let from: Host;
  let to: Host;
  let roots: { from: string; to: string };
  let given: GuestSpec;
  const folder = (root: string) => join(root, "state/instances", uuid);
  const printed = (host: Host) => printedBy(host, uuid);
  const power = async (host: Host) => (await host.call("getInfo", uuid)) as { power_state: number } | null;

  beforeAll(async () => {
    hosts = await MovingHosts.open();
    [from, to] = await Promise.all([hosts.start("from"), hosts.start("to")]);
    roots = { from: await from.root(), to: await to.root() };
  }, TIMEOUT_MS);
  afterEach(async () => {
    for (const host of [from, to]) {
      await host.call("destroy", uuid);
      expect(await host.files("/tmp/en-move")).toEqual([]);
      expect(await host.files(folder(await host.root()))).toBeNull();
    }
  }, TIMEOUT_MS);
  afterAll(() => hosts?.stop([from, to]), TIMEOUT_MS);

  async function booted({ busy = false } = {}): Promise<void> {
    for (const host of [from, to]) await host.setBase(bootDisk("own", { busy }).toString("base64"));
    given = busy ? BARE : spec();
    await from.call("spawn", uuid, given);
    await from.call("powerOff", uuid);
    await run("qemu-io", ["-f", "qcow2", "-c", "write -P 120 1M 64k", join(folder(roots.from), "disk")]);
    await from.call("powerOn", uuid);
    await vi.waitFor(async () => expect(await printed(from)).toContain("own"), WAIT);
    for (const host of [from, to]) await host.told();
  }

  async function prepared(limits?: LinkLimits): Promise<void> {
    const data = await from.checkSource(uuid);
    const order = { spec: given, data, block_migration: true };
    await to.checkDestination(uuid, order);
    await hosts.link(from, to, limits);
    await to.preLiveMigration(uuid, order);
  }

  const expectAlive = (host: Host) => alive(host, uuid);

  /** The guest stayed at the source, and goes on; then the destination is dismissed. */
  async function expectStayed(): Promise<void> {
    expect(await power(from)).toEqual({ uuid, power_state: RUNNING });
    await expectAlive(from);
    expect(await from.files(folder(roots.from))).not.toContain("leaving");
    await to.call("destroy", uuid);
    expect(await to.virsh("list", "--all", "--name")).toBe("\n");
    expect(await to.told()).toEqual([]);
    expect(await from.told()).toEqual([]);
  }

  it("brings a guest that goes on, with its disks, and leaves nothing behind", { timeout: TIMEOUT_MS }, async () => {
    await booted();
    const drive = await readFile(join(folder(roots.from), "disk.config"));
    await prepared();
    expect(await from.liveMigration(uuid, LIVE_MIGRATION)).toEqual({ aborted: false });
    await to.postLiveMigration(uuid);

    expect(await power(to)).toEqual({ uuid, power_state: RUNNING });
    expect(await power(from)).toBeNull();
    expect(await from.virsh("list", "--all", "--name")).toBe("\n");
    expect(await from.files(folder(roots.from))).toBeNull();
    for (const host of [from, to]) expect(await host.files("/tmp/en-move")).toEqual([]);
    // It answers without having booted anew: the log of this host's QEMU has no name in it.
    await expectAlive(to);
    expect(await printed(to)).not.toContain("own");

    for (const xml of [await to.virsh("dumpxml", NAME), await to.virsh("dumpxml", "--inactive", NAME)]) {
      expect(xml).toContain(join(folder(roots.to), "disk'"));
      expect(xml).toContain(join(roots.to, "base"));
      expect(xml).toContain("https://edgenova.dev/xmlns/libvirt/guest/1");
      expect(xml).not.toContain(roots.from);
    }
    expect(await to.call("getVncConsole", uuid)).toMatchObject({ path: expect.stringContaining(roots.to) });
    expect((await readFile(join(folder(roots.to), "disk.config"))).equals(drive)).toBe(true);
    // It went by our streams, the overlay alone.
    const counts = await from.linkCounts();
    for (const leg of ["libvirt", "memory", "disks"]) expect(counts[leg]?.bytes).toBeGreaterThan(1000);
    expect(counts.disks?.bytes).toBeLessThan(8 << 20);
    expect([await from.told(), await to.told()]).toEqual([[], [{ uuid, power_state: RUNNING }]]);

    await to.call("powerOff", uuid);
    const disk = join(folder(roots.to), "disk");
    await run("qemu-io", ["-f", "qcow2", "-c", "read -P 120 1M 64k", disk]);
    await run("fsck.ext4", ["-n", join(folder(roots.to), "disk.eph0")]);
    await to.call("powerOn", uuid);
    await vi.waitFor(async () => expect(await printed(to)).toContain("own"), WAIT);
    // A repeated call finds that it was done.
    expect(await from.liveMigration(uuid, LIVE_MIGRATION)).toEqual({ aborted: false });
  });

  it("of a paused guest brings it paused", { timeout: TIMEOUT_MS }, async () => {
    await booted();
    await from.call("pause", uuid);
    await prepared();
    await from.liveMigration(uuid, LIVE_MIGRATION);
    await to.postLiveMigration(uuid);
    expect(await power(to)).toEqual({ uuid, power_state: PAUSED });
    await to.call("unpause", uuid);
    await expectAlive(to);
  });

  it("that may end by post-copy goes without where a host has none", { timeout: TIMEOUT_MS }, async () => {
    await booted();
    await prepared();
    const permitted = {
      ...LIVE_MIGRATION,
      live_migration_permit_post_copy: true,
      live_migration_permit_auto_converge: true,
    };
    expect(await from.liveMigration(uuid, permitted)).toEqual({ aborted: false });
    await to.postLiveMigration(uuid);
    await expectAlive(to);
  });

  it("takes no more bandwidth than its host gives, for memory and disks together", {
    timeout: TIMEOUT_MS,
  }, async () => {
    await booted();
    await prepared({ bytesPerSecond: 32 << 20 });
    expect(await from.liveMigration(uuid, LIVE_MIGRATION)).toEqual({ aborted: false });
    const { memory, disks } = await from.linkCounts();
    expect(await from.granted()).toBe((memory?.bytes ?? 0) + (disks?.bytes ?? 0));
    await to.postLiveMigration(uuid);
    await expectAlive(to);
  });

  it("is aborted when told, tells how far it is, and can be tried again", { timeout: TIMEOUT_MS }, async () => {
    await booted({ busy: true });
    await expect(from.abortLiveMigration(uuid)).rejects.toMatchObject({ code: "InstanceInvalidState" });
    await prepared();
    const moving = from.liveMigration(uuid, SLOW);
    await vi.waitFor(async () => {
      const last = (await from.progress()).at(-1);
      expect(last?.memory_processed).toBeGreaterThan(0);
      expect(last?.memory_total).toBeGreaterThan(64 << 20);
    }, WAIT);
    await from.abortLiveMigration(uuid);
    expect(await moving).toEqual({ aborted: true });
    await expectStayed();
    await prepared();
    await from.liveMigration(uuid, LIVE_MIGRATION);
    await to.postLiveMigration(uuid);
    await expectAlive(to);
  });

  it("ends when it is forced to", { timeout: TIMEOUT_MS }, async () => {
    await booted({ busy: true });
    await prepared();
    const moving = from.liveMigration(uuid, SLOW);
    await vi.waitFor(async () => expect((await from.progress()).at(-1)?.memory_processed).toBeGreaterThan(0), WAIT);
    await from.forceCompleteLiveMigration(uuid);
    expect(await moving).toEqual({ aborted: false });
    await to.postLiveMigration(uuid);
    expect(await power(to)).toEqual({ uuid, power_state: RUNNING });
    await expectAlive(to);
  });

  it("that is out of time is aborted, or forced to its end", { timeout: TIMEOUT_MS }, async () => {
    await booted({ busy: true });
    await prepared();
    const late = { ...SLOW, live_migration_completion_timeout: 1 };
    expect(await from.liveMigration(uuid, late)).toEqual({ aborted: true });
    await expectStayed();
    await prepared();
    const forced = { ...late, live_migration_timeout_action: "force_complete" } as const;
    expect(await from.liveMigration(uuid, forced)).toEqual({ aborted: false });
    await to.postLiveMigration(uuid);
    await expectAlive(to);
  });

  /** A migration that has begun, and does not end by itself. */
  async function endless(): Promise<{ moving: Promise<{ aborted: boolean }> }> {
    await booted({ busy: true });
    await prepared();
    const moving = from.liveMigration(uuid, SLOW);
    moving.catch(() => undefined);
    await vi.waitFor(async () => expect((await from.progress()).at(-1)?.memory_processed).toBeGreaterThan(0), WAIT);
    return { moving };
  }

  it.each(["source", "destination"])("can be done again after the agent at its %s was restarted", async (side) => {
    const { moving } = await endless();
    await (side === "source" ? from : to).reopen();
    await expect(moving).rejects.toThrow();
    await to.call("destroy", uuid);
    await prepared();
    expect(await from.liveMigration(uuid, LIVE_MIGRATION)).toEqual({ aborted: false });
    await to.postLiveMigration(uuid);
    await expectAlive(to);
  });

  it("is given up for the end of its guest", { timeout: TIMEOUT_MS }, async () => {
    const { moving } = await endless();
    await from.call("destroy", uuid);
    expect(await moving).toEqual({ aborted: true });
    expect(await power(from)).toBeNull();
  });

  it.each(["memory", "disks", "libvirt"])(
    "whose %s leg breaks leaves the guest running where it was",
    {
      timeout: TIMEOUT_MS,
    },
    async (kind) => {
      const { moving } = await endless();
      await from.cutLeg(kind);
      await expect(moving).rejects.toMatchObject({ code: "MigrationError" });
      await expectStayed();
    },
  );

  it.each([
    { kind: "libvirt", bytes: 100 },
    { kind: "libvirt", bytes: 5000 },
    { kind: "disks", bytes: 50 },
    { kind: "memory", bytes: 0 },
    { kind: "file:disk.config", bytes: 9 },
  ])(
    "whose $kind leg breaks after $bytes bytes leaves the guest running where it was",
    {
      timeout: TIMEOUT_MS,
    },
    async (cut) => {
      await booted({ busy: true });
      await prepared({ cut });
      await expect(from.liveMigration(uuid, SLOW)).rejects.toMatchObject({ code: "MigrationError" });
      await expectStayed();
    },
  );

  it("lets a source ask for nothing but its guest", { timeout: TIMEOUT_MS }, async () => {
    await booted();
    await prepared();
    const relay = join(roots.from, "relay");
    const there = `qemu+unix:///session?socket=${relay}`;
    await from.relay(relay);
    const refused = async () =>
      (await to.logs()).filter((it) => it.event === "libvirt.call_refused").map(({ why }) => why);
    await expect(from.virsh("-c", there, "list")).rejects.toThrow();
    expect(await refused()).toEqual([expect.stringMatching(/^it calls procedure \d+$/)]);
    const moved = (await from.virsh("dumpxml", "--migratable", NAME)).replaceAll(roots.from, roots.to);
    const migrate = async (...options: string[]) => {
      const uri = `unix:///tmp/en-move/edgenova-move-${uuid}/memory`;
      const given = ["--live", "--p2p", "--persistent", "--unsafe", "--migrateuri", uri, ...options];
      await expect(from.virsh("migrate", NAME, ...given, there)).rejects.toThrow();
      return refused();
    };
    const described = async (option: string, xml: string) => {
      await writeFile(join(roots.from, "guest.xml"), xml);
      return migrate(option, join(roots.from, "guest.xml"));
    };
    const other = moved.replace(`${folder(roots.to)}/disk'`, "/etc/shadow'");
    expect(other).not.toBe(moved);
    expect(await described("--xml", other)).toEqual([expect.stringContaining("a disk is not the guest's own")]);
    expect(await migrate()).toEqual([expect.stringContaining("a disk is not the guest's own")]);
    expect(await to.virsh("list", "--all", "--name")).toBe("\n");
    await expectStayed();
  });

  it("is refused before anything has changed", { timeout: TIMEOUT_MS }, async () => {
    await booted();
    const data = await from.checkSource(uuid);
    expect(data).toMatchObject({ machine: expect.stringMatching(/^pc-q35-/), cpu: expect.stringMatching(/^<cpu /) });
    expect(data.disks.map(({ name, format, capacity }) => ({ name, format, capacity }))).toEqual([
      { name: "disk", format: "qcow2", capacity: 2 ** 30 },
      { name: "disk.eph0", format: "raw", capacity: 2 ** 30 },
      { name: "disk.swap", format: "raw", capacity: 8 << 20 },
    ]);
    const checked = (over: Partial<typeof data>, block_migration = true) =>
      to.checkDestination(uuid, { spec: spec(), data: { ...data, ...over }, block_migration });
    await checked({});
    const refused = { code: "MigrationError" };
    const [disk] = data.disks;
    await expect(checked({}, false)).rejects.toMatchObject(refused);
    await expect(checked({ machine: "pc-q35-99.0" })).rejects.toMatchObject(refused);
    await expect(checked({ hypervisor_version: 99_000_000 })).rejects.toMatchObject(refused);
    const cpu = "<cpu mode='custom' match='exact'><model fallback='forbid'>Icelake-Server</model></cpu>";
    await expect(checked({ cpu })).rejects.toMatchObject(refused);
    await expect(checked({ cpu: "<cpu" })).rejects.toMatchObject(refused);
    await expect(checked({ disks: [{ ...disk, allocation: 2 ** 50 } as never] })).rejects.toMatchObject(refused);
    await expect(checked({ disks: [{ ...disk, name: ".." } as never] })).rejects.toMatchObject(refused);
    expect(await to.files(folder(roots.to))).toBeNull();
    await from.call("powerOff", uuid);
    await expect(from.checkSource(uuid)).rejects.toMatchObject({ code: "InstanceInvalidState" });
    await expect(to.postLiveMigration(uuid)).rejects.toMatchObject({ code: "InstanceNotFound" });
  });
});
