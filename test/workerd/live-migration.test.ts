/** Live migration through real objects: whatever fails before the guest has gone leaves it where it is. */
import { env, runDurableObjectAlarm } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FLOWS } from "../../functions/conductor/flows.ts";
import { bindingOf } from "../../functions/conductor/screen.ts";
import { POWER_STATE, type PowerState } from "../../functions/protocol/guest.ts";
import { err } from "../../functions/result.ts";
import { failAfter, runTwice, undoTwice } from "./injection.ts";
import { MovingWorld } from "./moving.ts";
import { type Call, until } from "./scripted-agent.ts";

let world: MovingWorld;
beforeEach(async () => {
  world = await MovingWorld.of(3);
});
afterEach(async () => {
  vi.restoreAllMocks();
  await world.close();
});

const status = async () => (await world.migrations())[0]?.status;
const staysAt0 = async () => {
  await world.holds([
    [1024, "runs"],
    [0, "none"],
    [0, "none"],
  ]);
  expect(await world.show()).toMatchObject({ vm_state: "active", task_state: null, host: world.agent(0).host });
};
const wentTo1 = () =>
  world.holds([
    [0, "none"],
    [1024, "runs"],
    [0, "none"],
  ]);

/** The source has begun, and does not end until the test says how. */
async function running(): Promise<(aborted: boolean) => void> {
  let call: Call | undefined;
  world.answer(0, "live_migration", (given) => {
    call = given;
    return null;
  });
  await world.act("live_migrate");
  await until(() => call, "it runs");
  await until(async () => (await status()) === "running", "and is recorded so");
  return (aborted) => {
    if (!call) throw new Error("no call");
    if (!aborted) world.agent(0).guests.delete(world.uuid);
    world.agent(0).send({ t: "result", call: call.id, outcome: { ok: true, value: { aborted } } });
  };
}
const migration = async () => (await world.migrations())[0]?.uuid ?? "";

describe("a live migration", () => {
  it("goes through Nova's steps, and its screen stays what it was", async () => {
    const before = await world.show();
    if (!before) throw new Error("no server");
    const bound = bindingOf(before);
    const request = await world.act("live_migrate");
    const after = await world.rested();
    expect(after).toMatchObject({ vm_state: "active", host: world.agent(1).host, node: "node1", fault: null });
    expect(bindingOf(after)).toEqual(bound);
    expect(await world.server().screen(bound, false)).toMatchObject({ is: "here", host: world.agent(1).host, bound });
    expect(world.methods(0).slice(1)).toEqual(["check_can_live_migrate_source", "live_migration", "destroy"]);
    expect(world.methods(1)).toEqual([
      "check_can_live_migrate_destination",
      "pre_live_migration",
      "post_live_migration_at_destination",
    ]);
    await wentTo1();
    expect(await world.migrations()).toMatchObject([
      {
        migration_type: "live-migration",
        status: "completed",
        source_compute: world.agent(0).host,
        dest_compute: world.agent(1).host,
      },
    ]);
    expect(await world.pipeIsOver()).toBe(true);
    const { events } = (await world.server().action(world.actor(), request)) ?? {};
    expect(events?.map(({ event, result }) => [event, result])).toEqual([
      ["conductor_live_migrate_instance", "Success"],
      ["compute_check_can_live_migrate_destination", "Success"],
      ["compute_pre_live_migration", "Success"],
      ["compute_live_migration", "Success"],
      ["compute_post_live_migration_at_destination", "Success"],
    ]);
  });

  it("has the destination's agent asked for the screen by the incarnation that it knows", async () => {
    const before = await world.show();
    if (!before) throw new Error("no server");
    await world.done("live_migrate");
    const { generation } = bindingOf(before);
    expect(await world.host(1).vncConsole(world.uuid, generation)).toMatchObject({ ok: true });
    expect(world.agent(1).calls.at(-1)).toMatchObject({ method: "get_vnc_console", generation: generation + 1 });
    // Once there is a new guest, the old screen's name is of nothing any more.
    await world.done("reboot_hard");
    await world.done("stop");
    await world.done("start");
    expect(await world.server().screen(bindingOf(before), false)).toMatchObject({ is: "restarted" });
    await world.host(1).vncConsole(world.uuid, generation);
    expect(world.agent(1).calls.at(-1)).toMatchObject({ generation });
  });

  it("has its screen at the destination once the guest runs there, whatever else the source still does", async () => {
    const before = await world.show();
    if (!before) throw new Error("no server");
    const shown = async () => {
      const screen = await world.server().screen(bindingOf(before), false);
      return screen.is === "here" && screen.host;
    };
    const arrives = (at: number, power_state: PowerState) =>
      world.server().guestReported(world.agent(at).host, { server: world.uuid, generation: 2, power_state });
    await arrives(1, POWER_STATE.RUNNING);
    const end = await running();
    for (const [at, state] of [
      [1, POWER_STATE.PAUSED],
      [2, POWER_STATE.RUNNING],
    ] as const) {
      await arrives(at, state);
      expect(await shown()).toBe(world.agent(0).host);
    }
    await arrives(1, POWER_STATE.RUNNING);
    expect(await shown()).toBe(world.agent(1).host);
    end(true);
    await world.rested();
    expect(await shown()).toBe(world.agent(0).host);
  });

  it("goes there and back, as often as one likes", async () => {
    const before = await world.show();
    for (const at of [1, 0, 1, 0]) {
      expect(await world.done("live_migrate", world.to(at))).toMatchObject({ host: world.agent(at).host });
    }
    await staysAt0();
    expect(before && bindingOf(before)).toEqual(bindingOf(await world.rested()));
  });

  it("tries host after host, and keeps to one that was named", async () => {
    world.refuse(1, "check_can_live_migrate_destination");
    expect(await world.done("live_migrate")).toMatchObject({ host: world.agent(2).host });
    world.refuse(2, "check_can_live_migrate_source");
    const refused = await world.done("live_migrate");
    expect(refused).toMatchObject({ host: world.agent(2).host, vm_state: "active", fault: { code: 400 } });
    expect(await status()).toBe("error");
  });

  it("to the host where the server is ends there", async () => {
    expect(await world.done("live_migrate", world.to(0))).toMatchObject({
      fault: { code: 400, message: expect.stringContaining("to current host") },
    });
    expect(await status()).toBe("error");
    await staysAt0();
  });

  it("to a host that was named and refuses ends there", async () => {
    world.refuse(1, "check_can_live_migrate_destination");
    expect(await world.done("live_migrate", world.to(1))).toMatchObject({
      fault: { code: 400, message: "Migration pre-check error: no check_can_live_migrate_destination" },
    });
    await staysAt0();
    expect(await status()).toBe("error");
    await until(async () => {
      const known = await env.SCHEDULER.getByName("default").hosts();
      return known.find(({ host }) => host === world.agent(1).host)?.used.instances === 0;
    }, "nobody counts on its going there any more");
  });

  it.each([
    { asked: null, found: false, copied: false },
    { asked: null, found: true, copied: true },
    { asked: true, found: false, copied: true },
    { asked: false, found: true, copied: false },
  ])("copies disks as it was asked for, or as its destination finds it: $asked, $found", async (row) => {
    const value = { block_migration: row.found };
    world.answer(1, "check_can_live_migrate_destination", () => ({ ok: true, value }));
    await world.done("live_migrate", world.to(1, { block_migration: row.asked }));
    expect(world.params(1, "check_can_live_migrate_destination")).toMatchObject({ block_migration: row.asked });
    for (const [at, method] of [
      [1, "pre_live_migration"],
      [0, "live_migration"],
    ] as const) {
      expect(world.params(at, method), method).toMatchObject({ block_migration: row.copied });
    }
    await wentTo1();
  });

  it("that nobody has room for is refused", async () => {
    for (const at of [1, 2]) {
      await world
        .host(at)
        .claim({ ...{ vcpus: 1, memory_mb: 20_480, disk_gb: 1 }, server: crypto.randomUUID(), generation: 1 });
      await world
        .host(at)
        .claim({ ...{ vcpus: 1, memory_mb: 3_900, disk_gb: 1 }, server: crypto.randomUUID(), generation: 1 });
      await world.host(at).updateService({ enabled: at === 1 });
    }
    await world.host(1).updateService({ enabled: false });
    expect(await world.done("live_migrate")).toMatchObject({
      fault: { message: "No valid host was found. There are not enough hosts available." },
    });
  });

  it.each([
    ["pre_live_migration", 1, "error"],
    ["live_migration", 0, "failed"],
  ] as const)("whose %s fails goes on where it is, and can be tried again", async (method, at, ends) => {
    const heal = world.refuse(at, method);
    const before = await world.show();
    expect(await world.done("live_migrate", world.to(1))).toMatchObject({
      fault: { message: `MigrationError: no ${method}` },
      generation: before?.generation,
    });
    expect(await status()).toBe(ends);
    await staysAt0();
    heal();
    expect(await world.done("live_migrate", world.to(1))).toMatchObject({ host: world.agent(1).host });
    await wentTo1();
  });

  it("that cannot be finished at the destination leaves the server there, in ERROR", async () => {
    world.refuse(1, "post_live_migration_at_destination");
    expect(await world.done("live_migrate")).toMatchObject({ vm_state: "error", host: world.agent(1).host });
    expect(await status()).toBe("error");
    await until(async () => (await world.held())[0]?.[0] === 0, "the source's claim is free");
  });

  it("whose guest goes off as soon as it has come leaves the server off, there", async () => {
    world.answer(1, "post_live_migration_at_destination", () => {
      world.agent(1).guests.set(world.uuid, { server: world.uuid, generation: 2, power_state: POWER_STATE.SHUTDOWN });
      return { ok: true, value: { power_state: POWER_STATE.SHUTDOWN } };
    });
    expect(await world.done("live_migrate")).toMatchObject({ vm_state: "stopped", host: world.agent(1).host });
    expect(await world.done("start")).toMatchObject({ vm_state: "active" });
    expect(await status()).toBe("completed");
  });

  it("whose guest is lost in post-copy leaves the server where its disk is, in ERROR, and nothing at the source", async () => {
    world.refuse(0, "live_migration", "PostCopyFailed");
    await world.act("live_migrate");
    expect(await world.rested()).toMatchObject({
      ...{ vm_state: "error", task_state: null, host: world.agent(1).host },
      fault: { code: 500, message: expect.stringMatching(/^PostCopyFailed: /) },
    });
    expect(await status()).toBe("error");
    expect(world.methods(0).at(-1)).toBe("destroy");
    expect(world.methods(1).at(-1)).toBe("post_live_migration_at_destination");
    expect((await world.host(0).state())?.used.instances).toBe(0);
  });

  it("is called off while it runs: the guest stays", async () => {
    const end = await running();
    expect(await world.server().steerMigration(world.actor("req-off"), await migration(), "abort")).toEqual({
      ok: true,
    });
    expect(world.methods(0)).toContain("abort_live_migration");
    end(true);
    expect(await world.rested()).toMatchObject({ vm_state: "active", fault: null });
    expect(await status()).toBe("cancelled");
    await staysAt0();
    const names = (await world.server().actions(world.actor()))?.map(({ action }) => action);
    expect(names).toContain("live_migration_cancel");
  });

  it("is made to end by force_complete, and by nothing once it has ended", async () => {
    const end = await running();
    const id = await migration();
    expect(await world.server().steerMigration(world.actor(), id, "force_complete")).toEqual({ ok: true });
    expect(world.methods(0)).toContain("force_complete_live_migration");
    end(false);
    await world.rested();
    expect(await status()).toBe("completed");
    for (const how of ["abort", "force_complete"] as const) {
      expect(await world.server().steerMigration(world.actor(), id, how)).toMatchObject({ error: { kind: "late" } });
    }
  });

  it("tells how far it is", async () => {
    const end = await running();
    const call = world.agent(0).calls.at(-1)?.id ?? "";
    world.agent(0).send({ t: "progress", call, stage: "memory", percent: 40, memory_total: 10, memory_remaining: 6 });
    await until(async () => (await world.host(0).progress(world.uuid))?.memory_remaining === 6, "the host knows");
    end(false);
    await world.rested();
  });

  it("waits for its turn, and may be called off meanwhile", async () => {
    const end = await running();
    const first = world.uuid;
    await world.create();
    await world.act("live_migrate");
    await until(async () => (await status()) === "queued", "the second one is queued");
    expect(world.methods(0).filter((method) => method === "live_migration")).toHaveLength(1);
    const id = await migration();
    expect(await world.server().steerMigration(world.actor(), id, "force_complete")).toMatchObject({ ok: false });
    expect(await world.server().steerMigration(world.actor(), id, "abort")).toEqual({ ok: true });
    expect(await world.rested()).toMatchObject({ vm_state: "active", host: world.agent(0).host, fault: null });
    expect(await status()).toBe("cancelled");
    await world.act("live_migrate");
    await until(async () => (await status()) === "queued", "it is queued anew");
    const second = world.uuid;
    world.uuid = first;
    end(false);
    await world.rested();
    world.uuid = second;
    await until(async () => {
      await runDurableObjectAlarm(world.server());
      return (await status()) === "running";
    }, "its turn has come");
  });

  it("whose source goes away in the middle waits for its word on where the guest is", async () => {
    await running();
    world.agent(0).unlink();
    await until(async () => !(await world.host(0).state())?.connected, "it is away");
    await runDurableObjectAlarm(world.server());
    expect(await world.show()).toMatchObject({ task_state: "migrating", host: world.agent(0).host });
    world.agent(0).answer = ({ method }) => ({
      ok: true,
      value: method === "live_migration" ? { aborted: false } : {},
    });
    world.agent(0).guests.clear();
    await world.back(0);
    expect(await world.rested()).toMatchObject({ host: world.agent(1).host, vm_state: "active" });
    expect(await status()).toBe("completed");
  });

  it("is not ended by a reset of its server's state", async () => {
    const end = await running();
    await world.server().reset(world.actor(), "active");
    expect(await world.show()).toMatchObject({ task_state: "migrating" });
    end(false);
    expect(await world.rested()).toMatchObject({ host: world.agent(1).host });
  });

  it("of a server that is deleted ends at both hosts", async () => {
    await running();
    await world.deleted();
    expect(await status()).toBe("error");
    expect(await env.HOST.getByName(world.agent(0).host).takeTurn(crypto.randomUUID())).toBe(true);
  });
});

function step(name: string) {
  const found = FLOWS.live_migrate?.steps.find((one) => one.name === name);
  if (!found) throw new Error(`no step ${name}`);
  return found;
}

describe.each(FLOWS.live_migrate?.steps.map(({ name }) => name) ?? [])("live_migrate, at %s", (name) => {
  it("leaves the guest where it is when it fails before its work", async () => {
    vi.spyOn(step(name), "run").mockResolvedValue(err({ code: 500, message: "injected" }));
    expect(await world.done("live_migrate")).toMatchObject({ vm_state: "active", fault: { message: "injected" } });
    // What fails once the guest has gone is in the tests above: no step is skipped there by itself.
    if (name !== "leave" && name !== "arrive") await staysAt0();
  });

  it("is undone when it fails after it, undoing twice", async () => {
    failAfter(step(name));
    undoTwice(FLOWS.live_migrate?.steps ?? []);
    await world.done("live_migrate");
    if (!["migrate", "arrive", "leave"].includes(name)) await staysAt0();
    expect(await status()).toBe("error");
  });

  it("is done once, though it is run twice, or cut off", async () => {
    runTwice(FLOWS.live_migrate?.steps ?? []);
    vi.spyOn(step(name), "run").mockRejectedValueOnce(new Error("the object was evicted"));
    expect(await world.done("live_migrate", world.to(1))).toMatchObject({
      vm_state: "active",
      host: world.agent(1).host,
    });
    expect(world.methods(0).filter((method) => method === "live_migration")).toHaveLength(1);
    await wentTo1();
  });

  it("leaves nothing behind when it is deleted there", async () => {
    const { reached, release } = world.hold(step(name));
    await world.act("live_migrate");
    await until(reached, "the step runs");
    await world.deleted();
    release();
    await world.holds([
      [0, "none"],
      [0, "none"],
      [0, "none"],
    ]);
  });
});
