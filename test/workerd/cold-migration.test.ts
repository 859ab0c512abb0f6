/** Resizing and cold migration through real objects, between agents that do what a test tells them. */
import { env, runDurableObjectAlarm } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { dueOf } from "../../functions/conductor/due.ts";
import { FLOWS } from "../../functions/conductor/flows.ts";
import { config } from "../../functions/config.ts";
import { err } from "../../functions/result.ts";
import { failAfter, runTwice, undoTwice } from "./injection.ts";
import { MovingWorld } from "./moving.ts";
import { INVENTORY, until } from "./scripted-agent.ts";

let world: MovingWorld;
beforeEach(async () => {
  world = await MovingWorld.of(2);
});
afterEach(async () => {
  vi.restoreAllMocks();
  await world.close();
});

const statuses = async () => (await world.migrations()).map(({ status }) => status);

describe("a resize", () => {
  it("goes through Nova's steps, and both hosts are charged until it is confirmed", async () => {
    const before = await world.show();
    const request = await world.act("resize", world.resizeTo(3));
    const resized = await world.rested();
    expect(resized).toMatchObject({
      vm_state: "resized",
      task_state: null,
      host: world.agent(1).host,
      node: "node1",
      power_state: 1,
      fault: null,
      new_flavor: null,
      flavor: { flavorid: "x3" },
      generation: (before?.generation ?? 0) + 1,
      resized: { host: world.agent(0).host, node: "node0", flavor: { flavorid: "1" }, was: "active" },
    });
    expect(world.methods(0)).toEqual(["spawn", "migrate_disk_and_power_off", "send_disks"]);
    expect(world.methods(1)).toEqual(["instance_on_disk", "receive_disks", "finish_migration"]);
    await world.holds([
      [1024, "off"],
      [3072, "runs"],
    ]);
    expect(await world.usage()).toMatchObject({ instances: 1, cores: 3, ram: 3072 });
    expect(await world.migrations()).toMatchObject([
      {
        migration_type: "resize",
        status: "finished",
        source_compute: world.agent(0).host,
        source_node: "node0",
        dest_compute: world.agent(1).host,
        dest_node: "node1",
        old_instance_type_id: "1",
        new_instance_type_id: "x3",
      },
    ]);
    expect(await world.pipeIsOver()).toBe(true);
    const { action, events } = (await world.server().action(world.actor(), request)) ?? {};
    expect(action?.message).toBeNull();
    expect(events?.map(({ event, result }) => [event, result])).toEqual([
      ["conductor_migrate_server", "Success"],
      ["compute_prep_resize", "Success"],
      ["compute_resize_instance", "Success"],
      ["compute_finish_resize", "Success"],
    ]);
  });

  it("tells each end of the other, and gives the new size to the destination alone", async () => {
    await world.done("resize", world.resizeTo(2));
    const [{ uuid: migration } = { uuid: "" }] = await world.migrations();
    const peer = { migration, host: world.agent(1).host };
    expect(world.params(0, "send_disks")).toMatchObject({ peer });
    expect(world.params(1, "receive_disks")).toMatchObject({
      peer: { migration, host: world.agent(0).host, inbound: null },
      spec: { memory_mb: 2048, vcpus: 2 },
    });
    expect(world.params(1, "finish_migration")).toMatchObject({ start: true, spec: { memory_mb: 2048 } });
  });

  it("has nothing sent where the destination sees the disks", async () => {
    world.answer(1, "instance_on_disk", () => ({ ok: true, value: { on_disk: true } }));
    expect(await world.done("resize", world.resizeTo(2))).toMatchObject({ vm_state: "resized" });
    expect(world.params(1, "instance_on_disk")).toEqual({ host: world.agent(0).host });
    expect(world.methods(0)).not.toContain("send_disks");
    expect(world.methods(1)).toEqual(["instance_on_disk", "receive_disks", "finish_migration"]);
  });

  it("that is confirmed leaves nothing at the source", async () => {
    await world.done("resize", world.resizeTo(2));
    expect(await world.done("confirm_resize")).toMatchObject({
      vm_state: "active",
      host: world.agent(1).host,
      resized: null,
      flavor: { flavorid: "x2" },
    });
    await world.holds([
      [0, "none"],
      [2048, "runs"],
    ]);
    expect(await statuses()).toEqual(["confirmed"]);
    expect(await world.usage()).toMatchObject({ cores: 2, ram: 2048 });
  });

  it("that is reverted is where and as it was", async () => {
    await world.done("resize", world.resizeTo(2));
    expect(await world.done("revert_resize")).toMatchObject({
      vm_state: "active",
      power_state: 1,
      host: world.agent(0).host,
      node: "node0",
      resized: null,
      flavor: { flavorid: "1" },
    });
    await world.holds([
      [1024, "runs"],
      [0, "none"],
    ]);
    expect(await statuses()).toEqual(["reverted"]);
    expect(await world.usage()).toMatchObject({ cores: 1, ram: 1024 });
    // And it can go there again.
    expect(await world.done("resize", world.resizeTo(2))).toMatchObject({ vm_state: "resized" });
  });

  it("of a server that is off leaves it off, at either end", async () => {
    await world.done("stop");
    expect(await world.done("resize", world.resizeTo(2))).toMatchObject({ vm_state: "resized", power_state: 4 });
    expect(await world.done("revert_resize")).toMatchObject({ vm_state: "stopped", power_state: 4 });
    expect(world.methods(0).filter((method) => method === "power_on")).toEqual([]);
    await world.done("resize", world.resizeTo(2));
    expect(await world.done("confirm_resize")).toMatchObject({ vm_state: "stopped" });
    await world.holds([
      [0, "none"],
      [2048, "off"],
    ]);
  });

  it("that no host has room for changes nothing but the fault", async () => {
    const request = await world.act("resize", world.resizeTo(5));
    expect(await world.rested()).toMatchObject({
      vm_state: "active",
      host: world.agent(0).host,
      new_flavor: null,
      fault: { code: 500, message: "No valid host was found. There are not enough hosts available." },
    });
    expect(world.methods(0)).toEqual(["spawn"]);
    await world.holds([
      [1024, "runs"],
      [0, "none"],
    ]);
    expect(await statuses()).toEqual(["error"]);
    expect(await world.usage()).toMatchObject({ cores: 1 });
    expect((await world.server().action(world.actor(), request))?.action.message).toBe("Error");
  });

  it("is confirmed by itself when its window is over", async () => {
    const record = await world.done("resize", world.resizeTo(2));
    const at = Date.parse(record.resized?.at ?? "");
    expect(dueOf(record, config(env))).toBeNull();
    const windowed = { ...config(env), RESIZE_CONFIRM_WINDOW: 60 };
    expect(dueOf(record, windowed)).toEqual({ at: at + 60_000, action: "confirm_resize" });
  });

  it("cannot be followed by a second move, or end twice", async () => {
    await world.done("resize", world.resizeTo(2));
    for (const action of ["resize", "migrate", "live_migrate"] as const) {
      expect(await world.server().act(world.actor(), action)).toMatchObject({
        error: { kind: "invalid_state", attr: "vm_state", state: "resized" },
      });
    }
    world.answer(0, "destroy", () => null);
    await world.act("confirm_resize");
    expect(await world.server().act(world.actor(), "revert_resize")).toMatchObject({
      error: { kind: "invalid_state", attr: "task_state" },
    });
  });
});

describe("a migration", () => {
  it("to a host that was named goes there, or nowhere", async () => {
    await world.close();
    world = await MovingWorld.of(3);
    expect(await world.done("migrate", world.to(2))).toMatchObject({ vm_state: "resized", host: world.agent(2).host });
    expect((await world.migrations())[0]).toMatchObject({ migration_type: "migration", status: "finished" });
    await world.done("confirm_resize");
    world.refuse(1, "receive_disks", "InsufficientFreeDisk");
    expect(await world.done("migrate", world.to(1))).toMatchObject({ vm_state: "active", host: world.agent(2).host });
    await world.holds([
      [0, "none"],
      [0, "none"],
      [1024, "runs"],
    ]);
  });

  it("never goes to the host where the server is", async () => {
    expect(await world.done("migrate", world.to(0))).toMatchObject({ vm_state: "active", host: world.agent(0).host });
    expect(await statuses()).toEqual(["error"]);
  });

  it("goes on to an alternate when the destination cannot take the disks", async () => {
    await world.close();
    world = await MovingWorld.of(3);
    world.refuse(1, "receive_disks", "InsufficientFreeDisk");
    expect(await world.done("migrate")).toMatchObject({ vm_state: "resized", host: world.agent(2).host, fault: null });
    await world.holds([
      [1024, "off"],
      [0, "none"],
      [1024, "runs"],
    ]);
    expect((await world.migrations())[0]).toMatchObject({ status: "finished", dest_compute: world.agent(2).host });
  });

  it("goes to no host of another type", async () => {
    world.agent(1).unlink();
    await world.agent(1).link({ ...INVENTORY, hypervisor_type: "QEMU" });
    expect(await world.done("migrate", world.to(1))).toMatchObject({ vm_state: "active", host: world.agent(0).host });
    expect(await world.done("migrate")).toMatchObject({ vm_state: "active", host: world.agent(0).host });
    expect(world.methods(0)).toEqual(["spawn"]);
  });

  it.each([
    ["the source cannot send", 0, "send_disks"],
    ["the destination cannot receive", 1, "receive_disks"],
  ] as const)("is undone when %s: the guest runs on at the source", async (_, at, method) => {
    world.refuse(at, method);
    expect(await world.done("migrate")).toMatchObject({
      vm_state: "active",
      power_state: 1,
      host: world.agent(0).host,
      fault: { code: 500, message: `MigrationError: no ${method}` },
    });
    await world.holds([
      [1024, "runs"],
      [0, "none"],
    ]);
    expect(await statuses()).toEqual(["error"]);
  });

  it("that can be made again goes to the same host after a failure", async () => {
    const heal = world.refuse(0, "send_disks");
    await world.done("migrate", world.to(1));
    heal();
    expect(await world.done("migrate", world.to(1))).toMatchObject({ vm_state: "resized", host: world.agent(1).host });
  });

  it("whose guest cannot be made at the destination leaves it there, in ERROR, until it is deleted", async () => {
    world.refuse(1, "finish_migration");
    expect(await world.done("migrate")).toMatchObject({ vm_state: "error", host: world.agent(1).host });
    expect(await statuses()).toEqual(["error"]);
    await world.deleted();
  });

  it("waits for both ends, and goes on when the agent that was away is back", async () => {
    const heal = world.answer(1, "receive_disks", () => null);
    await world.act("migrate");
    await until(() => world.methods(1).includes("receive_disks"), "the destination is asked");
    world.agent(1).unlink();
    await until(async () => !(await world.host(1).state())?.connected, "it is away");
    expect(await world.show()).toMatchObject({ task_state: "resize_migrating", host: world.agent(0).host });
    heal();
    await world.back(1);
    expect(await world.rested()).toMatchObject({ vm_state: "resized", host: world.agent(1).host });
  });

  it("is confirmed while the source is away, which ends its guest when it is back", async () => {
    await world.done("migrate");
    world.agent(0).unlink();
    await until(async () => !(await world.host(0).state())?.connected, "it is away");
    expect(await world.done("confirm_resize")).toMatchObject({ vm_state: "active", resized: null });
    await world.holds([
      [1024, "off"],
      [1024, "runs"],
    ]);
    await world.back(0);
    await world.holds([
      [0, "none"],
      [1024, "runs"],
    ]);
  });

  it("is reverted only when nothing runs at the destination any more", async () => {
    await world.done("migrate");
    world.agent(1).unlink();
    await until(async () => !(await world.host(1).state())?.connected, "it is away");
    await world.act("revert_resize");
    await until(() => runDurableObjectAlarm(world.server()), "it is tried");
    expect(await world.show()).toMatchObject({ vm_state: "resized", task_state: "resize_reverting" });
    expect(world.methods(0)).not.toContain("power_on");
    await world.back(1);
    expect(await world.rested()).toMatchObject({ vm_state: "active", host: world.agent(0).host });
    await world.holds([
      [1024, "runs"],
      [0, "none"],
    ]);
  });

  it("that is unconfirmed is ended on both hosts by a delete", async () => {
    await world.done("migrate");
    await world.deleted();
    expect(await statuses()).toEqual(["confirmed"]);
  });

  it("that is unconfirmed is as good as confirmed when an admin resets its state", async () => {
    await world.done("migrate");
    await world.server().reset(world.actor(), "active");
    await world.holds([
      [0, "none"],
      [1024, "runs"],
    ]);
    expect(await world.show()).toMatchObject({ vm_state: "active", host: world.agent(1).host, resized: null });
  });
});

describe.each(FLOWS.migrate?.steps.map((step, index) => ({ index, name: step.name })) ?? [])(
  "migrate, at $name",
  ({ index, name }) => {
    const step = () => {
      const found = FLOWS.migrate?.steps[index];
      if (!found) throw new Error("no step");
      return found;
    };
    /** From here on there is no way back. */
    const isThere = name === "finish";

    it("is undone when it fails before its work", async () => {
      vi.spyOn(step(), "run").mockResolvedValue(err({ code: 500, message: "injected" }));
      const record = await world.done("migrate");
      expect(record).toMatchObject({ fault: { message: "injected" }, new_flavor: null });
      expect(record).toMatchObject(
        isThere
          ? { vm_state: "error", host: world.agent(1).host }
          : { vm_state: "active", power_state: 1, host: world.agent(0).host },
      );
      if (!isThere) {
        await world.holds([
          [1024, "runs"],
          [0, "none"],
        ]);
      }
      await world.deleted();
    });

    it("is undone when it fails after it, undoing twice", async () => {
      failAfter(step());
      undoTwice(FLOWS.migrate?.steps ?? []);
      const record = await world.done("migrate");
      const there = isThere || name === "arrive";
      expect(record).toMatchObject({ fault: { message: "injected" } });
      expect(record).toMatchObject({ host: world.agent(there ? 1 : 0).host, vm_state: there ? "error" : "active" });
      if (!there) {
        await world.holds([
          [1024, "runs"],
          [0, "none"],
        ]);
      }
      expect(await statuses()).toEqual(["error"]);
      await world.deleted();
    });

    it("is done once, though it is run twice", async () => {
      runTwice(FLOWS.migrate?.steps ?? []);
      expect(await world.done("migrate")).toMatchObject({ vm_state: "resized", host: world.agent(1).host });
      const calls = world.methods(1).filter((method) => method !== "instance_on_disk");
      expect(calls).toEqual(["receive_disks", "finish_migration"]);
      runTwice(FLOWS.revert_resize?.steps ?? []);
      expect(await world.done("revert_resize")).toMatchObject({ vm_state: "active", host: world.agent(0).host });
      await world.holds([
        [1024, "runs"],
        [0, "none"],
      ]);
    });

    it("goes on by the alarm when it was cut off", async () => {
      vi.spyOn(step(), "run").mockRejectedValueOnce(new Error("the object was evicted"));
      expect(await world.done("migrate")).toMatchObject({ vm_state: "resized", host: world.agent(1).host });
    });

    it("leaves nothing behind when it is deleted there", async () => {
      const { reached, release } = world.hold(step());
      await world.act("migrate");
      await until(reached, "the step runs");
      await world.deleted();
      release();
      await world.holds([
        [0, "none"],
        [0, "none"],
      ]);
    });
  },
);
