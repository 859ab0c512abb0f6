/** A resize that stays on the server's host: both sizes are held there until one of them is given up. */
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FLOWS } from "../../functions/conductor/flows.ts";
import type { ServerRecord } from "../../functions/conductor/record.ts";
import type { Server } from "../../functions/conductor/server.ts";
import { sizedTo, wouldShrink } from "../../functions/conductor/sizes.ts";
import { type Config, config } from "../../functions/config.ts";
import { err } from "../../functions/result.ts";
import { failAfter, runTwice, undoTwice } from "./injection.ts";
import { MovingWorld } from "./moving.ts";
import { until } from "./scripted-agent.ts";
import { specOf } from "./specs.ts";

let world: MovingWorld;
beforeEach(() => open(1));
afterEach(async () => {
  vi.restoreAllMocks();
  await world.close();
});

async function open(hosts: number): Promise<void> {
  await world?.close();
  world = await MovingWorld.of(hosts);
  await configure({ ALLOW_RESIZE_TO_SAME_HOST: true });
}
/** Changes the options for the server, as it runs now. */
const configure = (options: Partial<Config>) =>
  runInDurableObject(world.server(), (server: Server) => {
    Object.assign(config((server as unknown as { env: Env }).env), options);
  });
const statuses = async () => (await world.migrations()).map(({ status }) => status);
const used = async () => (await world.host(0).state())?.used;

describe("a resize on the server's own host", () => {
  it("holds both sizes there until it is confirmed, and opens no way to another host", async () => {
    const before = await world.show();
    expect(await world.done("resize", world.resizeTo(3))).toMatchObject({
      ...{ vm_state: "resized", host: world.agent(0).host, power_state: 1, fault: null, flavor: { flavorid: "x3" } },
      generation: (before?.generation ?? 0) + 1,
      resized: { host: world.agent(0).host, flavor: { flavorid: "1" } },
    });
    expect(world.methods(0)).toEqual(["spawn", "migrate_disk_and_power_off", "receive_disks", "finish_migration"]);
    expect(await used()).toMatchObject({ instances: 1, vcpus: 4, memory_mb: 4096 });
    expect(await world.usage()).toMatchObject({ instances: 1, cores: 3, ram: 3072 });
    expect(await world.migrations()).toMatchObject([
      { status: "finished", source_compute: world.agent(0).host, dest_compute: world.agent(0).host },
    ]);
    expect(await world.done("confirm_resize")).toMatchObject({ vm_state: "active", resized: null });
    expect(await used()).toMatchObject({ instances: 1, vcpus: 3, memory_mb: 3072 });
    expect(world.methods(0).at(-1)).toBe("confirm_migration");
    expect(await statuses()).toEqual(["confirmed"]);
    await world.deleted();
  });

  it("that is reverted is as it was, and may be made again", async () => {
    for (let round = 0; round < 2; round++) {
      await world.done("resize", world.resizeTo(2));
      expect(await world.done("revert_resize")).toMatchObject({
        ...{ vm_state: "active", power_state: 1, host: world.agent(0).host, resized: null, flavor: { flavorid: "1" } },
      });
      await world.holds([[1024, "runs"]]);
    }
    expect(world.methods(0).slice(-2)).toEqual(["finish_revert_migration", "power_on"]);
    await world.done("resize", world.resizeTo(2));
    await world.done("confirm_resize");
    await world.done("resize", world.resizeTo(3));
    await world.holds([[5 * 1024, "runs"]]);
  });

  it("needs room for both; a migration and a deployment that does not allow it find no host", async () => {
    const alone = { ...world.flavor(2), ram: 32_768 - 512 };
    const refused = await world.done("resize", { change: { new_flavor: alone } });
    expect(refused).toMatchObject({ vm_state: "active", new_flavor: null });
    expect(await world.done("migrate")).toMatchObject({ vm_state: "active", fault: { code: 500 } });
    await evictDurableObject(world.server());
    await configure({ ALLOW_RESIZE_TO_SAME_HOST: false });
    expect(await world.done("resize", world.resizeTo(2))).toMatchObject({ vm_state: "active", fault: { code: 500 } });
    expect(world.methods(0)).toEqual(["spawn"]);
    await world.holds([[1024, "runs"]]);
  });

  it("goes on to another host when this one cannot copy the disks, and comes back from there", async () => {
    await open(2);
    world.refuse(0, "receive_disks", "InsufficientFreeDisk");
    expect(await world.done("resize", world.resizeTo(2))).toMatchObject({
      vm_state: "resized",
      host: world.agent(1).host,
    });
    expect(world.methods(0)).toEqual(["spawn", "migrate_disk_and_power_off", "receive_disks", "send_disks"]);
    await world.holds([
      [1024, "off"],
      [2048, "runs"],
    ]);
    await world.done("revert_resize");
    await world.holds([
      [1024, "runs"],
      [0, "none"],
    ]);
  });

  it("whose guest cannot be made leaves it in ERROR, with both sizes until it is deleted", async () => {
    world.refuse(0, "finish_migration");
    expect(await world.done("resize", world.resizeTo(2))).toMatchObject({ vm_state: "error" });
    expect((await used())?.memory_mb).toBe(3072);
    await world.deleted();
  });

  it("that cannot be confirmed or reverted ends when an admin resets its state", async () => {
    for (const [action, method, memory] of [
      ["revert_resize", "finish_revert_migration", 1024],
      ["confirm_resize", "confirm_migration", 2048],
    ] as const) {
      await world.done("resize", world.resizeTo(2));
      const heal = world.refuse(0, method);
      expect(await world.done(action)).toMatchObject({ vm_state: "error" });
      expect((await used())?.memory_mb).toBe(3072);
      heal();
      await world.server().reset(world.actor(), "active");
      await until(async () => (await used())?.memory_mb === memory, "one size is given up");
      await world.rested();
    }
  });

  it("that is unconfirmed is as good as confirmed when it is deleted, and may be restored", async () => {
    await configure({ RECLAIM_INSTANCE_INTERVAL: 60 });
    await world.done("resize", world.resizeTo(2));
    await world.server().remove(world.actor());
    expect(await world.rested()).toMatchObject({ vm_state: "soft-delete", resized: null, flavor: { flavorid: "x2" } });
    expect(await statuses()).toEqual(["confirmed"]);
    expect(await world.done("restore")).toMatchObject({ vm_state: "active" });
    await world.holds([[2048, "runs"]]);
    await configure({ RECLAIM_INSTANCE_INTERVAL: 0 });
    await world.deleted();
  });

  it("that is cut off by a reset while it copies is taken back", async () => {
    const heal = world.answer(0, "receive_disks", () => null);
    await world.act("resize", world.resizeTo(2));
    await until(() => world.methods(0).includes("receive_disks"), "it copies");
    expect((await world.host(0).state())?.io_ops).toBe(1);
    heal();
    await world.server().reset(world.actor(), "active");
    await until(async () => (await used())?.memory_mb === 1024, "the new size is given up");
    expect(world.methods(0)).toContain("finish_revert_migration");
  });

  it("goes on when its agent was away, and is confirmed when that is back", async () => {
    await world.done("resize", world.resizeTo(2));
    world.agent(0).unlink();
    await until(async () => !(await world.host(0).state())?.connected, "it is away");
    await world.act("confirm_resize");
    await runDurableObjectAlarm(world.server());
    expect((await used())?.memory_mb).toBe(3072);
    await world.back(0);
    expect(await world.rested()).toMatchObject({ vm_state: "active", flavor: { flavorid: "x2" } });
    await world.holds([[2048, "runs"]]);
  });
});

describe("the claim of another size", () => {
  const claim = (generation: number, times = 1) =>
    world.host(0).claim({
      ...{ server: world.uuid, generation, resizes: true },
      ...{ vcpus: times, memory_mb: 1024 * times, disk_gb: 1 },
    });
  const end = (keep: "old" | "new", generation: number) => world.host(0).endResize(world.uuid, keep, generation);

  it("is one however often it is made or ended, and none when it comes late", async () => {
    for (let i = 0; i < 2; i++) expect(await claim(2, 2)).toMatchObject({ ok: true });
    expect((await used())?.memory_mb).toBe(3072);
    expect(await claim(3)).toMatchObject({ error: { kind: "leaving" } });
    await end("old", 1);
    expect((await used())?.memory_mb).toBe(3072);
    for (let i = 0; i < 2; i++) await end("old", 2);
    expect((await used())?.memory_mb).toBe(1024);
    expect(await claim(2, 2)).toMatchObject({ error: { kind: "dismissed" } });
    // Ended before it came.
    await end("old", 4);
    expect(await claim(4)).toMatchObject({ error: { kind: "dismissed" } });
    expect(await claim(5, 3)).toMatchObject({ ok: true });
    await evictDurableObject(world.host(0));
    expect((await used())?.memory_mb).toBe(4096);
    await end("new", 5);
    expect((await used())?.memory_mb).toBe(3072);
  });
});

describe.each(FLOWS.resize?.steps.map((step, index) => ({ index, name: step.name })) ?? [])(
  "a resize on one host, at $name",
  ({ index, name }) => {
    const steps = () => FLOWS.resize?.steps ?? [];
    const step = () => {
      const found = steps()[index];
      if (!found) throw new Error("no step");
      return found;
    };

    it("is undone when it fails before its work", async () => {
      vi.spyOn(step(), "run").mockResolvedValue(err({ code: 500, message: "injected" }));
      const record = await world.done("resize", world.resizeTo(2));
      // From here on there is no way back.
      const isThere = name === "finish";
      expect(record).toMatchObject({ vm_state: isThere ? "error" : "active", fault: { message: "injected" } });
      expect((await used())?.memory_mb).toBe(isThere ? 3072 : 1024);
      await world.deleted();
    });

    it("is undone when it fails after it, undoing twice", async () => {
      failAfter(step());
      undoTwice(steps());
      const record = await world.done("resize", world.resizeTo(2));
      const isThere = name === "finish" || name === "arrive";
      expect(record).toMatchObject({ vm_state: isThere ? "error" : "active", new_flavor: null });
      if (!isThere) await world.holds([[1024, "runs"]]);
      expect(await statuses()).toEqual(["error"]);
      await world.deleted();
    });

    it("is done once, though it is run twice, as are its ends", async () => {
      for (const flow of ["resize", "revert_resize", "confirm_resize"]) runTwice(FLOWS[flow]?.steps ?? []);
      await world.done("resize", world.resizeTo(2));
      await world.holds([[3072, "runs"]]);
      await world.done("revert_resize");
      await world.holds([[1024, "runs"]]);
      await world.done("resize", world.resizeTo(2));
      await world.done("confirm_resize");
      await world.holds([[2048, "runs"]]);
    });

    it("goes on by the alarm when it was cut off", async () => {
      vi.spyOn(step(), "run").mockRejectedValueOnce(new Error("the object was evicted"));
      expect(await world.done("resize", world.resizeTo(2))).toMatchObject({ vm_state: "resized" });
    });

    it("leaves nothing behind when it is deleted there", async () => {
      const { reached, release } = world.hold(step());
      await world.act("resize", world.resizeTo(2));
      await until(reached, "the step runs");
      await world.deleted();
      release();
      await world.holds([[0, "none"]]);
    });
  },
);

describe("a resize's other disks", () => {
  const of = (ephemeral: number, swap: number) => ({ ...specOf().flavor, ephemeral, swap });
  const server = (flavor = of(1, 8), more: Partial<ServerRecord> = {}) => ({
    ...specOf(),
    ...{ flavor, ephemerals: [{ size: 1, format: "xfs" as const }], swap_mb: 8 },
    ...more,
  });
  const asked = [
    { size: 1, format: "ext4" as const },
    { size: 2, format: "xfs" as const },
  ];

  it("are the flavor's, but for those that were asked for", () => {
    expect(sizedTo(of(2, 16), server() as ServerRecord)).toMatchObject({
      ephemerals: [{ size: 2, format: "xfs" }],
      swap_mb: 16,
    });
    expect(sizedTo(of(2, 0), server(of(0, 8), { ephemerals: [] }) as ServerRecord)).toMatchObject({
      ephemerals: [{ size: 2, format: "ext4" }],
      swap_mb: 0,
    });
    const own = server(of(4, 8), { ephemerals: asked, swap_mb: 4 }) as ServerRecord;
    expect(sizedTo(of(8, 8), own)).toMatchObject({ ephemerals: asked, swap_mb: 4 });
  });

  it("never shrink", () => {
    expect(wouldShrink(server() as ServerRecord, of(0, 0))).toBe(true);
    expect(wouldShrink(server() as ServerRecord, of(1, 0))).toBe(false);
    expect(wouldShrink(server(of(4, 0), { ephemerals: asked }) as ServerRecord, of(3, 0))).toBe(false);
  });

  it("come with a resize, and go with its revert", async () => {
    const flavor = { ...world.flavor(2), ephemeral: 3, swap: 16 };
    await world.done("resize", { change: { new_flavor: flavor } });
    const spec = world.agent(0).calls.find(({ method }) => method === "finish_migration")?.params;
    const disks = { ephemerals: [{ size: 3, format: "ext4" }], swap_mb: 16 };
    expect(spec).toMatchObject({ spec: disks });
    expect(await world.show()).toMatchObject(disks);
    expect(await world.done("revert_resize")).toMatchObject({ ephemerals: [], swap_mb: 0 });
  });
});
