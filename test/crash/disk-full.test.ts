/** A host whose disk is full: each thing that the agent writes says so, guests run on, and room makes all well again. */
import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { until } from "../edge.ts";
import { told } from "./dice.ts";
import { heals } from "./invariants.ts";
import { SCALED_TOML } from "./scale.ts";
import { canMount, SmallDisk } from "./small-disk.ts";
import { World } from "./world.ts";

const TIMEOUT_MS = 120_000;
const MIB = 1 << 20;
const KIB = 1 << 10;

describe.skipIf(!canMount)("a disk that is full", () => {
  let disk: SmallDisk;
  let world: World;
  beforeAll(async () => {
    disk = new SmallDisk(24);
    const agentState = join(disk.path, "agent");
    mkdirSync(agentState);
    // No power state is told meanwhile but by calls.
    world = await World.start({ agentState, toml: SCALED_TOML });
    await world.linked();
  }, TIMEOUT_MS);
  afterAll(async () => {
    await world?.close();
    disk?.close();
  });

  afterEach(async () => {
    disk.empty();
    await heals(world);
    await world.clear();
    await heals(world);
  }, TIMEOUT_MS);

  async function running(): Promise<string> {
    const id = await world.boot();
    expect(await world.settled(id)).toMatchObject({ status: "ACTIVE", power: 1 });
    return id;
  }
  function fill(left: number, where: string): void {
    told(`disk full at ${where}: ${left} bytes left`);
    disk.fill(left);
  }

  it("has an image refused, leaves no half of it, and the next build goes well when there is room", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const large = await world.createImage(randomBytes(4 * MIB));
    fill(2 * MIB, "the download of an image");
    const end = await world.settled(await world.boot(0, large));
    expect(end).toMatchObject({
      status: "ERROR",
      fault: expect.stringContaining("InsufficientFreeDisk: no room for image"),
    });
    disk.empty();
    expect(await world.settled(await world.boot(0, large))).toMatchObject({ status: "ACTIVE" });
  });

  it("has a build refused whose call cannot be journalled, and one whose guest cannot be recorded", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const id = await running();
    fill(0, "the journal");
    const end = await world.settled(await world.boot());
    expect(end).toMatchObject({ status: "ERROR", fault: expect.stringContaining("InsufficientFreeDisk") });
    expect(await world.show(id)).toMatchObject({ status: "ACTIVE", power: 1 });
    disk.empty();
    fill(16 * KIB, "the guest's record");
    expect((await world.settled(await world.boot()))?.status).toMatch(/ACTIVE|ERROR/);
    disk.empty();
    expect(await world.settled(await world.boot())).toMatchObject({ status: "ACTIVE" });
  });

  it("has a snapshot refused, which leaves neither image nor file", { timeout: TIMEOUT_MS }, async () => {
    const base = await world.createImage(randomBytes(4 * MIB));
    const id = await world.boot(0, base);
    await world.settled(id);
    fill(2 * MIB, "the snapshot");
    const asked = await world.call("POST", `/servers/${id}/action`, { createImage: { name: "shot" } });
    const { image_id } = await asked.json();
    expect(await world.settled(id)).toMatchObject({ status: "ACTIVE", power: 1 });
    await until(async () => (await world.image(image_id)) === null, "the image is gone");
    expect(world.snapshotFiles()).toEqual([]);
  });

  it("keeps a guest over an agent that is killed and cannot start, and has it deleted when there is room", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const id = await running();
    const guests = world.guests();
    fill(0, "the agent's end");
    await world.killAgent();
    expect((await world.call("DELETE", `/servers/${id}`)).status).toBe(204);
    await world.deleted(id);
    expect(world.guests()).toEqual(guests);
    disk.empty();
    world.startAgent();
    await world.linked();
    await until(() => world.guests().length === 0, "the guest is gone");
  });
});
