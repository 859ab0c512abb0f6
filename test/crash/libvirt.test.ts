/** Real guests, over SIGKILL of the agent and of the edge, and over an end and a new start of libvirtd. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { until } from "../edge.ts";
import { LIBVIRT_NEEDS, type PrivateLibvirtd, startLibvirtd } from "../real/libvirtd.ts";
import { needs } from "../real/requirement.ts";
import { type Case, killed, survives, TIMEOUT_MS } from "./cases.ts";
import { Dice, ROUNDS, SEED, told } from "./dice.ts";
import { LibvirtHypervisor } from "./hypervisor.ts";
import { heals } from "./invariants.ts";
import { OPERATIONS } from "./operations.ts";
import { SCALED_TOML } from "./scale.ts";
import { World } from "./world.ts";

const { paths, apt } = LIBVIRT_NEEDS;
const CASES: readonly Case[] = [
  { operation: "build", injury: killed("agent"), moment: "while spawn" },
  { operation: "rebuild", injury: killed("agent"), moment: "while rebuild" },
  { operation: "create_image", injury: killed("agent"), moment: "while snapshot" },
  { operation: "delete", injury: killed("agent"), moment: "while destroy" },
  { operation: "build", injury: killed("both"), moment: "result spawn" },
  { operation: "rebuild", injury: killed("edge"), moment: "result rebuild" },
  { operation: "create_image", injury: killed("both"), moment: "PUT file" },
  { operation: "delete", injury: killed("both"), moment: "result destroy" },
];

describe.skipIf(!needs("the crash test of libvirt", paths, apt))("a real guest", () => {
  let libvirtd: PrivateLibvirtd;
  let world: World;
  beforeAll(async () => {
    libvirtd = await startLibvirtd();
    const agentState = join(libvirtd.root, "agent");
    mkdirSync(agentState);
    world = await World.start({ agentState, hypervisor: new LibvirtHypervisor(libvirtd), toml: SCALED_TOML });
    await world.linked();
  }, TIMEOUT_MS);
  afterAll(async () => {
    await world?.close();
    await libvirtd?.stop();
  }, TIMEOUT_MS);

  describe("over a SIGKILL", () => {
    survives(() => world, new Dice(SEED).shuffled(CASES).slice(0, Math.ceil(ROUNDS / 2)), false);
  });

  it("runs on without libvirtd, and is ruled again when that is back", { timeout: TIMEOUT_MS }, async () => {
    const id = await world.boot();
    await world.settled(id);
    const [, process] = (await libvirtd.virsh("qemu-monitor-command", id, "--hmp", "info version")).split("\n");
    told("libvirtd ends while a guest runs");
    await libvirtd.halt();
    await until(() => world.agentEvents().some(({ event }) => event === "libvirt.lost"), "the agent has lost it");
    await libvirtd.start();
    expect((await libvirtd.virsh("qemu-monitor-command", id, "--hmp", "info version")).split("\n")[1]).toBe(process);
    await heals(world);
    expect((await world.call("POST", `/servers/${id}/action`, { reboot: { type: "HARD" } })).status).toBe(202);
    expect(await world.settled(id)).toMatchObject({ status: "ACTIVE", power: 1 });
    await world.clear();
    await heals(world);
  });

  it.each((["build", "rebuild", "delete"] as const).slice(0, ROUNDS))(
    "leaves nothing behind when libvirtd ends in the middle of a %s",
    {
      timeout: TIMEOUT_MS,
    },
    async (operation) => {
      const method = { build: "spawn", rebuild: "rebuild", delete: "destroy" }[operation];
      let call = world.wire.hold("nothing");
      const { id } = await OPERATIONS[operation].begin(world, () => {
        call = world.wire.hold(`call ${method}`);
      });
      await call.reached;
      told(`libvirtd ends in a ${operation}`);
      call.release();
      await libvirtd.halt();
      await until(() => world.agentEvents().some(({ event }) => event === "call.done"), "the call has ended");
      await libvirtd.start();
      const end = await world.settled(id);
      if (operation === "delete") await world.deleted(id);
      else if (end?.status !== "ACTIVE") expect(end).toMatchObject({ status: "ERROR", fault: /Hypervisor|Abort/ });
      await world.clear();
      await heals(world);
    },
  );
});
