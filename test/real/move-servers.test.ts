/** Servers on their way between two hosts: the edge, two agents, two libvirtds, QEMU (TCG), and a viewer on the screen. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { OpenedSession } from "../../functions/protocol/console-session.ts";
import { SCREEN_PATH } from "../../functions/protocol/console-session.ts";
import { ask, type TestEdge, until } from "../edge.ts";
import { freePort } from "../free-port.ts";
import { askSession, dial, type PageScreen } from "../page-session.ts";
import type { RfbScreen } from "../rfb-screen.ts";
import { LIBVIRT_NEEDS } from "./libvirtd.ts";
import { type HostName, MovingServers, otherThan, V21 } from "./moving-servers.ts";
import { needs } from "./requirement.ts";

const { paths, apt } = LIBVIRT_NEEDS;
const missing = !needs("the test of servers that move", ["/usr/bin/unshare", ...paths], apt);
const TIMEOUT_MS = 180_000;
/** What the blinking cursor changes at the most. */
const CURSOR_PIXELS = 60;
describe.skipIf(missing)("servers between two hosts", () => {
  let world: MovingServers;
  let edge: TestEdge;
  let hosts: MovingServers["hosts"];
  let server: string;

  beforeAll(async () => {
    world = await MovingServers.open(async (name) => {
      // The second is reached without the edge, the first by the pipe alone.
      const inbound = `migration_inbound_addr = "127.0.0.1"\nmigration_inbound_port = ${await freePort()}\n`;
      return name === "hv2" ? inbound : "";
    });
    ({ edge, hosts, server } = world);
  }, TIMEOUT_MS);
  afterAll(() => world?.close(), TIMEOUT_MS);

  const show = () => world.show();
  const act = (body: object, status?: number) => world.act(body, status);
  const becomes = (status: string) => world.becomes(status);
  const migrations = () => world.migrations();

  /** The guest is on that host, and there is nothing of it on the other. */
  async function expectOn(host: HostName): Promise<void> {
    await world.expectGuestOn(host);
    const other = otherThan(host);
    await until(async () => (await hosts[other].folders()).length === 0, `${other} has no files`);
  }

  async function openScreen(session: OpenedSession): Promise<PageScreen> {
    const screen = dial(edge, `${SCREEN_PATH}?ticket=${session.ticket}`);
    await screen.client.ready();
    screen.client.watch();
    await screen.client.waitForScreen((picture) => ink(picture) > 100);
    return screen;
  }

  it("moves one that runs, and who looks at it sees the same screen go on", { timeout: TIMEOUT_MS }, async () => {
    const link = await ask(edge, "POST", `${V21}/servers/${server}/console-links`, { body: { console_link: {} } });
    const token = new URL(link.body.console_link.url).searchParams.get("token");
    const opened = (await askSession(edge, "", { token })).opened;
    const before = await openScreen(opened);
    before.client.type("edgenova");
    const typed = await settled(before);
    await act({ "os-migrateLive": { host: null, block_migration: "auto" } });
    await before.end().catch(async (error) => {
      throw new Error(`${error.message}: ${JSON.stringify([await migrations(), (await show()).fault])}`);
    });
    const leftAt = Date.now();
    let key = opened.key;
    const after = await until(async () => {
      const again = await askSession(edge, "/resume", { key });
      if (again.status !== 200) return null;
      key = again.opened.key;
      return openScreen(again.opened).catch(() => null);
    }, "the viewer is back");
    console.info(`the viewer was away for ${Date.now() - leftAt} ms`);
    expect(Math.abs((await settled(after)) - typed)).toBeLessThan(CURSOR_PIXELS);
    after.client.type("!");
    await after.client.waitForScreen((picture) => ink(picture) !== ink(before.client.screen));
    after.ws.close();
    await becomes("ACTIVE");
    await expectOn("hv2");
    expect((await migrations())[0]).toMatchObject({
      ...{ migration_type: "live-migration", status: "completed", source_compute: "hv1", dest_compute: "hv2" },
    });
  });

  it("moves one with its disk, and is confirmed", { timeout: TIMEOUT_MS }, async () => {
    await act({ migrate: null });
    await becomes("VERIFY_RESIZE");
    expect((await show())["OS-EXT-SRV-ATTR:host"]).toBe("hv1");
    await act({ confirmResize: null }, 204);
    await becomes("ACTIVE");
    await expectOn("hv1");
    expect((await migrations())[0]).toMatchObject({ migration_type: "migration", status: "confirmed" });
  });

  it("resizes one, which is taken back, and then is not", { timeout: TIMEOUT_MS }, async () => {
    const flavor = async () => (await show()).flavor.original_name;
    const small = await flavor();
    await act({ resize: { flavorRef: "2" } });
    await becomes("VERIFY_RESIZE");
    expect(await flavor()).not.toBe(small);
    await act({ revertResize: null });
    await becomes("ACTIVE");
    expect(await flavor()).toBe(small);
    await expectOn("hv1");
    await act({ resize: { flavorRef: "2" } });
    await becomes("VERIFY_RESIZE");
    await act({ confirmResize: null }, 204);
    await becomes("ACTIVE");
    await expectOn("hv2");
    const info = await hosts.hv2.virsh("domblkinfo", `instance-${server}`, "vda", "--human");
    expect(info).toMatch(/Capacity: +20.000 GiB/);
  });

  it("resizes one where it is, with its other disks, which is taken back, and then is not", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const disks = async () => {
      const list = await hosts.hv2.virsh("domblklist", `instance-${server}`);
      return ["disk", "disk.eph0", "disk.swap"].filter((name) => list.includes(`/${name}\n`));
    };
    const folders = async () => (await hosts.hv2.folders()).toSorted();
    const sizes = { ram: 2048, vcpus: 1, disk: 20, swap: 8, "OS-FLV-EXT-DATA:ephemeral": 1 };
    const flavor = { id: "with-more", name: "with-more", ...sizes };
    expect((await ask(edge, "POST", `${V21}/flavors`, { body: { flavor } })).status).toBe(200);
    expect(await world.changeService("hv1", { status: "disabled" })).toBe(200);
    await act({ resize: { flavorRef: "with-more" } });
    await becomes("VERIFY_RESIZE");
    expect(await disks()).toEqual(["disk", "disk.eph0", "disk.swap"]);
    expect(await folders()).toEqual([server, `${server}_resize`]);
    await act({ revertResize: null });
    await becomes("ACTIVE");
    expect([await disks(), await folders()]).toEqual([["disk"], [server]]);
    await act({ resize: { flavorRef: "with-more" } });
    await becomes("VERIFY_RESIZE");
    await act({ confirmResize: null }, 204);
    await becomes("ACTIVE");
    expect(await disks()).toEqual(["disk", "disk.eph0", "disk.swap"]);
    expect(await world.changeService("hv1", { status: "enabled" })).toBe(200);
    await expectOn("hv2");
    const smaller = { resize: { flavorRef: "2" } };
    expect(await ask(edge, "POST", `${V21}/servers/${server}/action`, { body: smaller })).toMatchObject({
      ...{ status: 400, body: { badRequest: { message: "Resize error: Unable to resize disk down." } } },
    });
  });

  it("builds one anew whose host is lost, which is clean when it is back", { timeout: TIMEOUT_MS }, async () => {
    await hosts.hv2.killAgent();
    const force = (forced_down: boolean) => world.changeService("hv2", { forced_down });
    expect(await force(true)).toBe(200);
    await act({ evacuate: {} }, 200);
    await becomes("ACTIVE");
    expect((await show())["OS-EXT-SRV-ATTR:host"]).toBe("hv1");
    expect(await hosts.hv2.domains()).toHaveLength(1);
    expect(await force(false)).toBe(400);
    await hosts.hv2.startAgent();
    await until(async () => (await hosts.hv2.domains()).length === 0, "the returned host has no guest", 60_000);
    await until(async () => (await migrations())[0].status === "completed", "the evacuation is completed");
    expect(await force(false)).toBe(200);
    await expectOn("hv1");
  });
});

/** How many pixels are not black. */
function ink(picture: RfbScreen): number {
  let count = 0;
  for (let at = 0; at < picture.rgba.length; at += 4) if (picture.rgba.readUIntBE(at, 3) > 0) count++;
  return count;
}

/** The screen once nothing on it changes for a while, but for the cursor, which is not looked at. */
async function settled({ client }: PageScreen): Promise<number> {
  let last = -1;
  let since = Date.now();
  return until<number | null>(() => {
    const now = ink(client.screen);
    if (Math.abs(now - last) > CURSOR_PIXELS) [last, since] = [now, Date.now()];
    return Date.now() - since > 1500 ? last : null;
  }, "the screen is settled");
}
