/** The edge, the agent or both killed with SIGKILL as a snapshot of many parts is uploaded: the image is whole, and nothing leaks. */
import { createHash, randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PART_BYTES } from "../../functions/protocol/upload.ts";
import { until } from "../edge.ts";
import { type Victim, World } from "./world.ts";

const TIMEOUT_MS = 120_000;
/** Long enough for an upload that can be killed in. */
const DISK = randomBytes(4 * PART_BYTES + 99);
const SHA512 = createHash("sha512").update(DISK).digest("hex");

type Moment = "as the file is there" | "as the parts go" | "once the edge reads back";

const CASES: readonly (readonly [Victim, Moment])[] = [
  ["agent", "as the file is there"],
  ["agent", "once the edge reads back"],
  ["edge", "as the parts go"],
  ["edge", "once the edge reads back"],
  ["both", "as the parts go"],
];

let world: World;
let base: string;

beforeAll(async () => {
  world = await World.start();
  await world.linked();
  base = await world.createImage(DISK);
});
afterAll(() => world?.close());

const taken = (id: string) => () =>
  world.agentEvents().some(({ event, server }) => event === "snapshot.taken" && server === id);

async function reach(moment: Moment, id: string): Promise<void> {
  const task = async () => (await world.show(id))?.task;
  await until(taken(id), "the file is there");
  if (moment === "as the file is there") return;
  await until(async () => (await task()) === "image_uploading", "it is being uploaded");
  // Each part takes a while, and so does the reading back of all.
  await sleep(moment === "as the parts go" ? 300 : 900);
}

describe("a snapshot", () => {
  it.each(CASES)("survives: %s killed %s", { timeout: TIMEOUT_MS }, async (victim, moment) => {
    const id = await world.boot(0, base);
    expect((await world.settled(id))?.status).toBe("ACTIVE");
    const asked = await world.call("POST", `/servers/${id}/action`, { createImage: { name: "shot" } });
    expect(asked.status).toBe(202);
    const { image_id } = await asked.json();
    await reach(moment, id);
    await world.crash(victim);
    expect(await world.settled(id)).toMatchObject({ id, status: "ACTIVE", task: null, power: 1 });
    expect(await world.image(image_id)).toMatchObject({ status: "active", size: DISK.length, os_hash_value: SHA512 });
    await until(() => world.snapshotFiles().length === 0, "the host has no file left");
    // What it made boots.
    const second = await world.boot(0, image_id);
    expect((await world.settled(second))?.status).toBe("ACTIVE");
    await world.clear();
  });

  it("is given up, with its image and its file, when the server is deleted while its host is away", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const id = await world.boot(0, base);
    await world.settled(id);
    const asked = await world.call("POST", `/servers/${id}/action`, { createImage: { name: "shot" } });
    const { image_id } = await asked.json();
    await until(taken(id), "the file is there");
    await world.killAgent();
    await world.call("DELETE", `/servers/${id}`);
    await world.deleted(id);
    expect(await world.image(image_id)).toBeNull();
    world.startAgent();
    await world.linked();
    await until(() => world.guests().length === 0, "the guest is gone");
    await until(() => world.snapshotFiles().length === 0, "the file is gone");
  });
});
