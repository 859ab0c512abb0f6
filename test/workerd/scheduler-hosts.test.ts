/** What the scheduler writes of its hosts' words, and what it knows when it wakes. */
import { env, evictDurableObject, runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import type { HostState } from "../../functions/scheduler/host-state.ts";
import { candidate, requestOf } from "./candidates.ts";
import { INVENTORY } from "./scripted-agent.ts";

const scheduler = (name: string) => env.SCHEDULER.getByName(name);
const supported_instances = [{ arch: "x86_64", hv_type: "kvm", vm_mode: "hvm" }];

/** A host's word; each is later than the one before. */
let seq = 0;
function word(host: string, change: Partial<HostState> = {}): HostState {
  const { id: _, zone: __, aggregates: ___, ...state } = candidate({ host, inventory: { ...INVENTORY } });
  return { ...state, seq: ++seq, ...change };
}

/** The rows that `task` has the scheduler write. */
async function written(name: string, task: () => Promise<unknown>): Promise<number> {
  const changes = () =>
    runInDurableObject(scheduler(name), (_, { storage }) =>
      storage.sql.exec<{ n: number }>("SELECT total_changes() AS n").one(),
    );
  const before = await changes();
  await task();
  return (await changes()).n - before.n;
}

const known = async (name: string) => await scheduler(name).hosts();

describe("a host's word", () => {
  const update = (name: string, change: Partial<HostState>) =>
    written(name, () => scheduler(name).updateHost(word("h", change)));
  const used = { vcpus: 2, memory_mb: 2048, disk_gb: 2, instances: 1 };

  it("is one short row for a claim, and none when nothing is other than it was", async () => {
    await scheduler("rows").updateHost(word("h"));
    expect(await update("rows", {})).toBe(0);
    expect(await update("rows", { used, io_ops: 1 })).toBe(1);
    expect(await update("rows", { used, io_ops: 1, updated_at: "2030-01-01T00:00:00.000Z" })).toBe(0);
    expect((await known("rows"))[0]).toMatchObject({ used, updated_at: "2030-01-01T00:00:00.000Z" });
  });

  it("that tells other metrics is taken and not written", async () => {
    const measured = (value: number) => ({ inventory: { ...INVENTORY, metrics: { "cpu.percent": value } } });
    await scheduler("metrics").updateHost(word("h", measured(1)));
    expect(await update("metrics", measured(2))).toBe(0);
    expect((await known("metrics"))[0]?.inventory.metrics).toEqual({ "cpu.percent": 2 });
  });

  it("is known as before when the scheduler wakes, whichever part of it changed last", async () => {
    await scheduler("wakes").updateHost(word("h"));
    await scheduler("wakes").updateHost(word("h", { used }));
    await scheduler("wakes").updateHost(
      word("h", { used, inventory: { ...INVENTORY, vcpus: 77, supported_instances } }),
    );
    await scheduler("wakes").updateHost(word("g", { failed_builds: 3 }));
    const before = await known("wakes");
    expect(before).toMatchObject([{ host: "h", used, inventory: { vcpus: 77 } }, { failed_builds: 3 }]);
    await evictDurableObject(scheduler("wakes"));
    expect(await known("wakes")).toEqual(before);
  });

  it("that is older than the last, or than its removal, is dropped", async () => {
    const late = word("h", { used });
    await scheduler("late").updateHost(word("h"));
    expect(await written("late", () => scheduler("late").updateHost(late))).toBe(0);
    expect((await known("late"))[0]?.used.instances).toBe(0);
    const gone = word("h");
    await scheduler("late").removeHost("h", ++seq);
    await scheduler("late").updateHost(gone);
    expect(await known("late")).toEqual([]);
    await evictDurableObject(scheduler("late"));
    expect(await known("late")).toEqual([]);
  });

  it("in a row of before, all of it in one, is read", async () => {
    await scheduler("before").updateHost(word("h"));
    const { image_properties: _, io_ops: __, ...earlier } = word("h", { used });
    await runInDurableObject(scheduler("before"), (_, { storage: { sql } }) => {
      sql.exec("DELETE FROM host_usage");
      sql.exec("UPDATE host SET state = ?", JSON.stringify(earlier));
    });
    await evictDurableObject(scheduler("before"));
    expect((await known("before"))[0]).toMatchObject({ used, io_ops: 0, image_properties: {} });
    expect(await update("before", { used: { ...used, vcpus: 3 } })).toBe(1);
    await evictDurableObject(scheduler("before"));
    expect((await known("before"))[0]?.used.vcpus).toBe(3);
  });
});

describe("a choice", () => {
  it("writes nothing, and the next one spreads all the same", async () => {
    for (const host of ["a", "b"]) await scheduler("choice").updateHost(word(host));
    const chosen: (string | undefined)[] = [];
    const rows = await written("choice", async () => {
      for (let i = 0; i < 4; i++) chosen.push((await scheduler("choice").select(requestOf())).chosen[0]?.host);
    });
    expect(rows).toBe(0);
    expect(chosen).toEqual(["a", "b", "a", "b"]);
  });

  it("goes by the aggregates as they are now, of hosts new and old", async () => {
    const one = scheduler("aggregates");
    for (const host of ["a", "b"]) await one.updateHost(word(host));
    const made = await one.createAggregate("east", "east");
    if (!made.ok) throw new Error(made.error.kind);
    const inEast = async () => {
      const { decision } = await one.preview(requestOf({ availability_zone: "east" }));
      return decision.chosen;
    };
    expect(await inEast()).toEqual([]);
    for (const host of ["a", "b"]) await one.changeAggregate(made.value.id, { do: "add_host", host });
    expect(await inEast()).toEqual(["a", "b"]);
    await evictDurableObject(one);
    expect(await inEast()).toEqual(["a", "b"]);
    await one.changeAggregate(made.value.id, { do: "remove_host", host: "a" });
    expect(await inEast()).toEqual(["b"]);
  });
});
