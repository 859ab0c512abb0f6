/** Evacuation through real objects: from a host that is down, which returns with what it had. */
import { env, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FLOWS } from "../../functions/conductor/flows.ts";
import { err } from "../../functions/result.ts";
import { failAfter, runTwice, undoTwice } from "./injection.ts";
import { MovingWorld } from "./moving.ts";
import { until } from "./scripted-agent.ts";

let world: MovingWorld;
beforeEach(async () => {
  world = await MovingWorld.of(3);
});
afterEach(async () => {
  vi.restoreAllMocks();
  await world.close();
});

const status = async () => (await world.migrations())[0]?.status;
const lose = () => world.lose(0);
const comeBack = () => world.back(0);

describe("an evacuation", () => {
  it("builds the server anew elsewhere, and what it left goes when its host is back", async () => {
    await lose();
    const before = await world.show();
    const request = await world.act("evacuate");
    expect(await world.rested()).toMatchObject({
      vm_state: "active",
      power_state: 1,
      host: world.agent(1).host,
      generation: (before?.generation ?? 0) + 1,
      fault: null,
    });
    expect(await world.migrations()).toMatchObject([
      {
        migration_type: "evacuation",
        status: "done",
        source_compute: world.agent(0).host,
        dest_compute: world.agent(1).host,
        dest_node: "node1",
      },
    ]);
    const { events } = (await world.server().action(world.actor(), request)) ?? {};
    expect(events?.map(({ event, result }) => [event, result])).toEqual([
      ["conductor_rebuild_server", "Success"],
      ["compute_rebuild_instance", "Success"],
    ]);
    expect(await world.host(0).evacuations()).toEqual([world.uuid]);
    const other = crypto.randomUUID();
    world.agent(0).guests.set(other, { server: other, generation: 1, power_state: 1 });
    await comeBack();
    await world.holds([
      [0, "none"],
      [1024, "runs"],
      [0, "none"],
    ]);
    await until(async () => (await status()) === "completed", "the record is completed");
    await until(async () => (await world.host(0).evacuations()).length === 0, "the host has none left");
    expect((await world.show())?.evacuated_from).toEqual([]);
    // Exactly what its record says: a guest that nobody knows stays.
    expect(world.agent(0).guests.has(other)).toBe(true);
  });

  it("that its server did not hear the end of is told of again when the host links anew", async () => {
    await lose();
    await world.done("evacuate");
    await runInDurableObject(env.HOST.getByName(world.agent(0).host), (_, { storage }) => {
      storage.sql.exec("DELETE FROM allocation WHERE server = ?", world.uuid);
    });
    world.agent(0).guests.clear();
    await comeBack();
    await until(async () => (await status()) === "completed", "the record is completed");
  });

  it.each([
    ["was off", "stop", {}],
    ["is asked for from 2.95 on", null, { off: true }],
  ] as const)("of a server that %s leaves it off", async (_, first, move) => {
    if (first !== null) await world.done(first);
    await lose();
    expect(await world.done("evacuate", { memo: { move } })).toMatchObject({ vm_state: "stopped", power_state: 4 });
    expect(await status()).toBe("done");
  });

  const sees = (on_disk: boolean) => world.answer(1, "instance_on_disk", () => ({ ok: true, value: { on_disk } }));

  it.each([
    ["was off", "stop", {}, "stopped"],
    ["is asked for so", null, { off: true }, "stopped"],
    ["ran", null, { on_shared_storage: true }, "active"],
  ] as const)("makes a guest of the disks that its destination sees, off where it %s", async (_, first, move, ends) => {
    if (first !== null) await world.done(first);
    await lose();
    sees(true);
    expect(await world.done("evacuate", world.to(1, move))).toMatchObject({
      vm_state: ends,
      host: world.agent(1).host,
      fault: null,
    });
    const from = world.agent(0).host;
    expect(world.params(1, "instance_on_disk")).toEqual({ host: from });
    expect(world.params(1, "finish_migration")).toMatchObject({ from, start: ends === "active" });
    expect(world.methods(1)).not.toContain("spawn");
    await comeBack();
    await until(async () => (await status()) === "completed", "the record is completed");
  });

  it.each([true, false])("is refused where its disks are not as it was said: on shared storage %s", async (said) => {
    await lose();
    sees(!said);
    expect(await world.done("evacuate", world.to(1, { on_shared_storage: said }))).toMatchObject({
      vm_state: "active",
      host: world.agent(0).host,
      fault: { code: 400, message: "Invalid state of instance files on shared storage" },
    });
    expect(await status()).toBe("failed");
    await comeBack();
    await world.holds([
      [1024, "runs"],
      [0, "none"],
      [0, "none"],
    ]);
    await lose();
    expect(await world.done("evacuate", world.to(1))).toMatchObject({ host: world.agent(1).host, fault: null });
  });

  it("whose destination goes away is made of the disks there when that is back", async () => {
    await lose();
    sees(true);
    const { reached, release } = world.hold(step("look"));
    await world.act("evacuate", world.to(1));
    await until(reached, "the step runs");
    world.agent(1).unlink();
    await until(async () => !(await world.host(1).state())?.connected, "it is away");
    release();
    await runDurableObjectAlarm(world.server());
    expect(await world.show()).toMatchObject({ task_state: "rebuilding", host: world.agent(0).host });
    await world.back(1);
    expect(await world.rested()).toMatchObject({ vm_state: "active", host: world.agent(1).host });
    expect(world.methods(1)).toContain("finish_migration");
  });

  it("goes to the host that was named", async () => {
    await lose();
    expect(await world.done("evacuate", world.to(2))).toMatchObject({ vm_state: "active", host: world.agent(2).host });
  });

  it("that has nowhere to go leaves an ERROR, as Nova does, and the claim where the server is", async () => {
    await lose();
    for (const at of [1, 2]) await world.host(at).updateService({ enabled: false });
    expect(await world.done("evacuate")).toMatchObject({
      vm_state: "error",
      host: world.agent(0).host,
      fault: { message: "No valid host was found. There are not enough hosts available." },
    });
    expect(await status()).toBe("error");
    await comeBack();
    await world.holds([
      [1024, "runs"],
      [0, "none"],
      [0, "none"],
    ]);
  });

  it("whose claim is refused leaves the server as it was", async () => {
    await lose();
    const { run } = step("schedule");
    vi.spyOn(step("schedule"), "run").mockImplementation(async (context, memo) => {
      const chosen = await run(context, memo);
      const wanted = { vcpus: 1, memory_mb: 28_000, disk_gb: 1, generation: 1 };
      await context.host(world.agent(1).host).claim({ ...wanted, server: crypto.randomUUID() });
      return chosen;
    });
    expect(await world.done("evacuate", world.to(1))).toMatchObject({ vm_state: "active", host: world.agent(0).host });
    expect(await status()).toBe("failed");
  });

  it("whose guest cannot be built leaves it at the destination, in ERROR; a delete ends all of it", async () => {
    await lose();
    world.refuse(1, "spawn", "InsufficientFreeDisk");
    expect(await world.done("evacuate")).toMatchObject({ vm_state: "error", host: world.agent(1).host });
    expect(await status()).toBe("failed");
    await world.deleted();
    await comeBack();
    await world.holds([
      [0, "none"],
      [0, "none"],
      [0, "none"],
    ]);
  });

  it("whose host returns in the middle has the guest there switched off, and kept until the new one is there", async () => {
    await lose();
    const heal = world.answer(1, "spawn", () => null);
    await world.act("evacuate", world.to(1));
    await until(() => world.methods(1).includes("spawn"), "it is being built");
    await comeBack();
    await world.holds([
      [1024, "off"],
      [1024, "none"],
      [0, "none"],
    ]);
    heal();
    world.agent(1).unlink();
    await world.back(1);
    await world.rested();
    await world.holds([
      [0, "none"],
      [1024, "runs"],
      [0, "none"],
    ]);
    expect(await status()).toBe("completed");
  });

  it("cuts off what was under way, and whatever that had begun elsewhere", async () => {
    world.answer(1, "receive_disks", () => null);
    await world.act("migrate", world.to(1));
    await until(() => world.methods(1).includes("receive_disks"), "the disks are on their way");
    await lose();
    expect(await world.done("evacuate", world.to(2))).toMatchObject({ vm_state: "active", host: world.agent(2).host });
    await comeBack();
    await world.holds([
      [0, "none"],
      [0, "none"],
      [1024, "runs"],
    ]);
    expect((await world.migrations()).map(({ status }) => status).sort()).toEqual(["completed", "error"]);
  });
});

function step(name: string) {
  const found = FLOWS.evacuate?.steps.find((one) => one.name === name);
  if (!found) throw new Error(`no step ${name}`);
  return found;
}

describe.each(FLOWS.evacuate?.steps.map(({ name }) => name) ?? [])("evacuate, at %s", (name) => {
  /** The server is at the destination when these steps begin. */
  const later = ["spawn", "power_off", "leave"].includes(name);

  it("leaves the server whole when it fails before its work", async () => {
    await lose();
    vi.spyOn(step(name), "run").mockResolvedValue(err({ code: 500, message: "injected" }));
    expect(await world.done("evacuate")).toMatchObject({
      host: world.agent(later ? 1 : 0).host,
      fault: { message: "injected" },
    });
    await world.deleted();
    await comeBack();
    await world.holds([
      [0, "none"],
      [0, "none"],
      [0, "none"],
    ]);
  });

  it("is undone when it fails after it, undoing twice", async () => {
    await lose();
    failAfter(step(name));
    undoTwice(FLOWS.evacuate?.steps ?? []);
    const there = later || name === "arrive";
    expect(await world.done("evacuate")).toMatchObject({ host: world.agent(there ? 1 : 0).host });
    if (!there) {
      await comeBack();
      await world.holds([
        [1024, "runs"],
        [0, "none"],
        [0, "none"],
      ]);
    }
  });

  it("is done once, though it is run twice, or cut off", async () => {
    await lose();
    runTwice(FLOWS.evacuate?.steps ?? []);
    vi.spyOn(step(name), "run").mockRejectedValueOnce(new Error("the object was evicted"));
    expect(await world.done("evacuate", world.to(1))).toMatchObject({
      vm_state: "active",
      host: world.agent(1).host,
    });
    expect(world.methods(1).filter((method) => method === "spawn")).toHaveLength(1);
  });

  it("leaves nothing behind when it is deleted there", async () => {
    await lose();
    const { reached, release } = world.hold(step(name));
    await world.act("evacuate");
    await until(reached, "the step runs");
    await world.deleted();
    release();
    await comeBack();
    await world.holds([
      [0, "none"],
      [0, "none"],
      [0, "none"],
    ]);
  });
});
