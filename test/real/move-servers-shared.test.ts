/** Servers on their way between two hosts with one instances_path: the edge, two agents, two libvirtds, QEMU (TCG). */
import { execFile } from "node:child_process";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ask, until } from "../edge.ts";
import { LIBVIRT_NEEDS } from "./libvirtd.ts";
import { type HostName, MovingServers, V21 } from "./moving-servers.ts";
import { needs } from "./requirement.ts";

const { paths, apt } = LIBVIRT_NEEDS;
const missing = !needs("the test of servers on shared storage", ["/usr/bin/unshare", ...paths], apt);
const TIMEOUT_MS = 180_000;
const run = promisify(execFile);

describe.skipIf(missing)("servers between two hosts that share storage", () => {
  let world: MovingServers;
  const at = (file = "") => join(world.shared, world.server, file);
  const disk = async () => (await stat(at("disk"))).ino;
  const io = (command: string) => run("qemu-io", ["-f", "qcow2", "-c", command, at("disk")]);

  beforeAll(async () => {
    world = await MovingServers.open(async (_, shared) => `instances_path = "${shared}"\n`);
    await world.act({ "os-stop": null });
    await world.becomes("SHUTOFF");
    await io("write -P 120 16M 64k");
    await world.act({ "os-start": null });
    await world.becomes("ACTIVE");
  }, TIMEOUT_MS);
  afterAll(() => world?.close(), TIMEOUT_MS);

  /** The guest is on that host, with its files; nothing else is there. */
  async function expectOn(host: HostName): Promise<void> {
    await world.expectGuestOn(host);
    expect(await world.hosts[host].running()).toEqual([`instance-${world.server}`]);
    await until(async () => (await readdir(world.shared)).length === 1, "nothing is aside");
    expect(await readFile(at("owner"), "utf8")).toBe(host);
  }

  it("are moved alive, and none of their disks is copied", { timeout: TIMEOUT_MS }, async () => {
    const before = await disk();
    await world.act({ "os-migrateLive": { host: null, block_migration: true } });
    await until(async () => (await world.migrations())[0]?.status === "error", "block migration is refused");
    await world.becomes("ACTIVE");
    expect(await readFile(at("owner"), "utf8")).toBe("hv1");
    for (const [block_migration, host] of [
      ["auto", "hv2"],
      [false, "hv1"],
    ] as const) {
      await world.act({ "os-migrateLive": { host: null, block_migration } });
      await until(async () => (await world.migrations())[0].status === "completed", `it is on ${host}`, 60_000);
      await world.becomes("ACTIVE");
      await expectOn(host);
    }
    expect(await disk()).toBe(before);
  });

  it("are moved off, which is taken back, and then is not", { timeout: TIMEOUT_MS }, async () => {
    const before = await disk();
    await world.act({ migrate: null });
    await world.becomes("VERIFY_RESIZE");
    expect((await readdir(world.shared)).toSorted()).toEqual([world.server, `${world.server}_resize`]);
    await world.act({ revertResize: null });
    await world.becomes("ACTIVE");
    await expectOn("hv1");
    expect(await disk()).toBe(before);
    await world.act({ migrate: null });
    await world.becomes("VERIFY_RESIZE");
    await world.act({ confirmResize: null }, 204);
    await world.becomes("ACTIVE");
    await expectOn("hv2");
  });

  it("keep their disks when their host is lost, which leaves them alone when it is back", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const before = await disk();
    await world.hosts.hv2.killAgent();
    await world.hosts.hv2.virsh("destroy", `instance-${world.server}`);
    const force = (forced_down: boolean) => world.changeService("hv2", { forced_down });
    expect(await force(true)).toBe(200);
    await world.act({ evacuate: {} }, 200, 94);
    await world.becomes("ACTIVE");
    expect(await world.hosts.hv2.domains()).toHaveLength(1);
    await world.hosts.hv2.startAgent();
    await until(
      async () => (await world.migrations())[0].status === "completed",
      "the evacuation is completed",
      60_000,
    );
    expect(await force(false)).toBe(200);
    await expectOn("hv1");
    expect(await disk()).toBe(before);
    await world.act({ "os-stop": null });
    await world.becomes("SHUTOFF");
    await io("read -P 120 16M 64k");
  });

  it("are deleted with their files", { timeout: TIMEOUT_MS }, async () => {
    expect((await ask(world.edge, "DELETE", `${V21}/servers/${world.server}`)).status).toBe(204);
    await until(async () => (await readdir(world.shared)).length === 0, "nothing is left");
  });
});
