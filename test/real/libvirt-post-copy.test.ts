/** Guests that are switched to another host while their memory is still to follow. */
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { POWER_STATE } from "../../functions/protocol/guest.ts";
import type { GuestSpec } from "../../functions/protocol/methods.ts";
import { bootDisk } from "./boot-sector.ts";
import { LIBVIRT_NEEDS } from "./libvirtd.ts";
import { expectAlive, movedSpec, printed, SLOW, WAIT } from "./moved-guest.ts";
import { type Host, MovingHosts } from "./moving-hosts.ts";
import { needs } from "./requirement.ts";

const { paths, apt } = LIBVIRT_NEEDS;
const OVMF = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const missing = !needs("the test of post-copy", ["/usr/bin/unshare", OVMF, ...paths], `${apt} ovmf`);
const notRoot = process.geteuid?.() !== 0;
const TIMEOUT_MS = 120_000;
const uuid = "6f1c2a3b-0000-4000-8000-000000000017";
const NAME = "instance-00000012";
const PERMITTED = { ...SLOW, live_migration_permit_post_copy: true };
const BUSY = movedSpec({ instance_name: NAME, ephemerals: [], swap_mb: 0 });
/** One whose memory takes long to follow: UEFI alone fills some ten MiB. */
const LARGE: GuestSpec = { ...BUSY, memory_mb: 256, hardware: { firmware_type: "uefi", machine_type: "q35" } };

describe.skipIf(missing || notRoot)("a live migration that ends by post-copy", () => {
  let hosts: MovingHosts;
  let from: Host;
  let to: Host;
  const folder = (root: string) => join(root, "state/instances", uuid);
  const power = async (host: Host) => (await host.call("getInfo", uuid)) as { power_state: number } | null;

  beforeAll(async () => {
    hosts = await MovingHosts.open();
    const start = (name: string) => hosts.start(name, "moving-host.ts", { LIBVIRTD: "privileged" });
    [from, to] = await Promise.all([start("from"), start("to")]);
    for (const host of [from, to]) await host.setBase(bootDisk("own", { busy: true }).toString("base64"));
  }, TIMEOUT_MS);
  afterEach(async () => {
    for (const host of [from, to]) {
      await host.call("destroy", uuid);
      expect(await host.files(folder(await host.root()))).toBeNull();
    }
  }, TIMEOUT_MS);
  afterAll(() => hosts?.stop([from, to]), TIMEOUT_MS);

  /** A migration of a guest that never holds still. */
  async function moving(spec = BUSY, says = "own", limits = {}): Promise<{ moved: Promise<{ aborted: boolean }> }> {
    await from.call("spawn", uuid, spec);
    await vi.waitFor(async () => expect(await printed(from, uuid)).toContain(says), WAIT);
    const order = { spec, data: await from.checkSource(uuid), block_migration: true };
    await to.checkDestination(uuid, order);
    await hosts.link(from, to, limits);
    await to.preLiveMigration(uuid, order);
    await from.logs();
    const moved = from.liveMigration(uuid, PERMITTED);
    moved.catch(() => undefined);
    await vi.waitFor(async () => expect((await from.progress()).at(-1)?.memory_processed).toBeGreaterThan(0), WAIT);
    return { moved };
  }

  const events = async (host: Host) => (await host.logs()).map(({ event }) => event);
  const state = (host: Host) => host.virsh("domstate", "--reason", NAME).then((text) => text.trim());

  async function expectArrived(): Promise<void> {
    await to.postLiveMigration(uuid);
    expect(await power(to)).toEqual({ uuid, power_state: POWER_STATE.RUNNING });
    expect(await power(from)).toBeNull();
    expect(await from.files(folder(await from.root()))).toBeNull();
    await expectAlive(to, uuid);
  }

  it("when it is forced to goes on at the other host", { timeout: TIMEOUT_MS }, async () => {
    const { moved } = await moving();
    await from.forceCompleteLiveMigration(uuid);
    expect(await moved).toEqual({ aborted: false });
    expect(await events(from)).toEqual(["libvirt.post_copy"]);
    await expectArrived();
  });

  it("by itself, once another round would bring little", { timeout: TIMEOUT_MS }, async () => {
    const { moved } = await moving();
    expect(await moved).toEqual({ aborted: false });
    expect(await events(from)).toEqual(["libvirt.post_copy"]);
    await expectArrived();
  });

  /** Its other part of the memory is to follow, slowly. */
  async function split(): Promise<{ moved: Promise<{ aborted: boolean }> }> {
    const { moved } = await moving(LARGE, "Shell>", { bytesPerSecond: 2 << 20 });
    await from.forceCompleteLiveMigration(uuid);
    await vi.waitFor(async () => expect(await state(to)).toBe("running (post-copy)"), { ...WAIT, interval: 20 });
    // Who looks at it need not wait for the memory that is to follow.
    expect(await from.switched()).toBe(true);
    expect((await to.told()).at(-1)).toEqual({ uuid, power_state: POWER_STATE.RUNNING });
    return { moved };
  }

  /** It says that the guest is lost, which goes on at neither end. */
  async function expectLost(moved: Promise<{ aborted: boolean }>): Promise<void> {
    await expect(moved).rejects.toMatchObject({ code: "PostCopyFailed" });
    expect(await state(from)).toBe("paused (post-copy failed)");
    expect(await from.files(folder(await from.root()))).toContain("leaving");
  }

  it("and whose way breaks meanwhile is given up when its end is asked for", { timeout: TIMEOUT_MS }, async () => {
    const { moved } = await split();
    await from.cutLeg("memory");
    await vi.waitFor(async () => expect(await state(from)).toBe("paused (post-copy failed)"), WAIT);
    await from.abortLiveMigration(uuid);
    await expectLost(moved);
    await expect(from.liveMigration(uuid, PERMITTED)).rejects.toMatchObject({ code: "PostCopyFailed" });
  });

  it("leaves its guest at neither end when the other one is lost", { timeout: TIMEOUT_MS }, async () => {
    const { moved } = await split();
    // That it ends by this is what libvirt may fail to tell.
    await to.virsh("destroy", NAME).catch(() => undefined);
    await expectLost(moved);
    expect(await state(to)).toMatch(/^shut off/);
  });
});
