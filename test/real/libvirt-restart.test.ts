/** The agent on real guests: what it says of those that reboot, stop or are killed, and a restart of the host under them. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type RunningAgent, startAgent } from "../../agent/agent.ts";
import { parseConfig } from "../../agent/config.ts";
import { LibvirtDriver } from "../../agent/drivers/libvirt/libvirt-driver.ts";
import { ensureKey, loadIdentity, writeEnrolment } from "../../agent/identity.ts";
import type { GuestReport } from "../../functions/protocol/guest.ts";
import type { Method } from "../../functions/protocol/methods.ts";
import { until } from "../edge.ts";
import { ScriptedEdge } from "../node/agent-scripted-edge.ts";
import { call, SPEC } from "../node/agent-support.ts";
import { bootDisk } from "./boot-sector.ts";
import { LIBVIRT, LIBVIRT_NEEDS, type PrivateLibvirtd, startLibvirtd } from "./libvirtd.ts";
import { needs } from "./requirement.ts";

const missing = !needs("the test of a host's restart", LIBVIRT_NEEDS.paths, LIBVIRT_NEEDS.apt);
const TIMEOUT_MS = 120_000;
const WAIT_MS = 60_000;
const ran = "6f1c2a3b-0000-4000-8000-000000000031";
const stopped = "6f1c2a3b-0000-4000-8000-000000000032";

/** A disk whose guest, at its power button, does not go off but resets its machine by the keyboard's controller. */
function rebootingDisk(): Buffer {
  const disk = bootDisk("own");
  const off = Buffer.from("ba0406b80020ef", "hex");
  disk.set(Buffer.from("b0fee664909090", "hex"), disk.indexOf(off));
  return disk;
}
const DISK = rebootingDisk();
const image = { ...SPEC.image, size: DISK.length, sha512: createHash("sha512").update(DISK).digest("hex") };

describe.skipIf(missing)("an agent on qemu:///session", () => {
  let libvirtd: PrivateLibvirtd;
  let edge: ScriptedEdge;
  let agent: RunningAgent | undefined;
  let driver: LibvirtDriver;
  let events: string[] = [];
  let calls = 0;
  const stateDir = () => join(libvirtd.root, "agent");
  const domain = (uuid: string) => libvirtd.virsh("domstate", uuid).then((text) => text.trim());
  const frames = () => edge.links.flatMap((link) => link.frames);
  const reports = (): GuestReport[] => frames().flatMap((frame) => (frame.t === "report" ? frame.guests : []));

  beforeAll(async () => {
    libvirtd = await startLibvirtd();
    edge = await new ScriptedEdge().start();
    edge.image = (_id, response) => void response.writeHead(200).end(DISK);
    await ensureKey(stateDir());
    writeEnrolment(stateDir(), { edge: edge.url, host: "hv1" });
  }, TIMEOUT_MS);

  afterEach(async () => {
    await agent?.stop();
    await edge.stop();
  }, TIMEOUT_MS);

  afterAll(async () => {
    await libvirtd?.stop();
  }, TIMEOUT_MS);

  async function start(boot: string): Promise<void> {
    events = [];
    const config = parseConfig("resume_guests_state_on_host_boot = true");
    agent = await startAgent({
      stateDir: stateDir(),
      identity: await loadIdentity(stateDir()),
      config,
      driverName: "libvirt",
      loadDriver: async (context) => {
        driver = new LibvirtDriver(context, { ...LIBVIRT, connection_uri: libvirtd.uri });
        driver.bootId = async () => boot;
        return driver;
      },
      version: "test",
      log: (event) => void events.push(event),
    });
  }
  async function ask(server: string, method: Method): Promise<void> {
    const id = `call-${calls++}`;
    const params = method === "spawn" ? { ...SPEC, instance_name: server, image } : {};
    edge.tell(edge.links.at(-1)!, call(id, method, { server, params }));
    const done = await until(() => edge.results().find((result) => result.call === id), `${method} is done`, WAIT_MS);
    expect(done.outcome).toMatchObject({ ok: true });
  }

  it("says nothing of a guest that reboots itself, tells at once of one that was killed, and starts after its host what ran", {
    timeout: TIMEOUT_MS,
  }, async () => {
    await start("one");
    await until(() => events.includes("link.up"), "the link");
    await ask(ran, "spawn");
    await ask(stopped, "spawn");
    await ask(stopped, "power_off");
    const printed = async () => (await driver.getConsoleOutput(ran)).toString();
    await until(async () => (await printed()) === "own\n", "it has booted", WAIT_MS);
    await libvirtd.virsh("shutdown", ran);
    await until(async () => (await printed()) === "own\nown\n", "it has booted again by itself", WAIT_MS);
    expect([await domain(ran), reports()]).toEqual(["running", []]);

    await libvirtd.virsh("destroy", ran);
    await until(() => reports().length > 0, "it is told");
    expect(reports()).toEqual([{ server: ran, generation: 1, power_state: 4 }]);
    await ask(ran, "power_on");

    await agent?.stop();
    await edge.stop();
    await libvirtd.virsh("destroy", ran);
    await start("two");
    await until(() => events.includes("guest.resumed"), "it is started without the edge", WAIT_MS);
    await until(async () => (await domain(ran)) === "running", "it runs");
    expect([await domain(stopped), events]).toEqual(["shut off", expect.arrayContaining(["link.waiting"])]);

    edge = await new ScriptedEdge().start(edge.port);
    const hello = await until(() => edge.links[0]?.frames[0], "the edge is back", WAIT_MS);
    const guests = [
      { server: ran, generation: 1, power_state: 1 },
      { server: stopped, generation: 1, power_state: 4 },
    ];
    expect(hello).toMatchObject({ guests: expect.arrayContaining(guests), resuming: [] });
    for (const server of [ran, stopped]) await ask(server, "destroy");
  });
});
