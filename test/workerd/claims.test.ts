/** What may be claimed of a host: by its own options, by the deployment's, and by what it had. */
import { env, evictDurableObject, runInDurableObject } from "cloudflare:test";
import { afterEach, describe, expect, it } from "vitest";
import { capacity, lacking, ratiosOf, reservedOf, resourcesOf } from "../../functions/compute/claims.ts";
import { config } from "../../functions/config.ts";
import { Pool } from "../../functions/scheduler/pool.ts";
import { INVENTORY, ScriptedAgent, until } from "./scripted-agent.ts";
import { specOf } from "./specs.ts";

const options = config(env);
const RATIOS = { cpu: 4, ram: 1.5, disk: 1 };
const TOTAL = { vcpus: 2, memory_mb: 2560, disk_gb: 10 };

describe("claims", () => {
  it("fit up to (total - reserved) x ratio, and name what they lack", () => {
    const room = capacity(TOTAL, { vcpus: 0, memory_mb: 512, disk_gb: 1 }, RATIOS);
    expect(room).toEqual({ vcpus: 8, memory_mb: 3072, disk_gb: 9 });
    const here = { total: TOTAL, capacity: room, used: { vcpus: 7, memory_mb: 2048, disk_gb: 0 } };
    expect(lacking(here, { vcpus: 1, memory_mb: 1024, disk_gb: 9 })).toEqual([]);
    expect(lacking(here, { vcpus: 2, memory_mb: 1025, disk_gb: 10 })).toEqual(["VCPU", "MEMORY_MB", "DISK_GB"]);
  });
  it("of one server are never more than the host has, whatever the ratio", () => {
    const here = { total: TOTAL, capacity: capacity(TOTAL, { vcpus: 0, memory_mb: 0, disk_gb: 0 }, RATIOS) };
    const used = { vcpus: 0, memory_mb: 0, disk_gb: 0 };
    expect(lacking({ ...here, used }, { vcpus: 3, memory_mb: 2561, disk_gb: 1 })).toEqual(["VCPU", "MEMORY_MB"]);
  });
  it("of nothing fit even where more is used than there is", () => {
    const used = { vcpus: 9, memory_mb: 9000, disk_gb: 90 };
    const here = { total: TOTAL, capacity: TOTAL, used };
    expect(lacking(here, { vcpus: 1, memory_mb: 1, disk_gb: 0 })).toEqual(["VCPU", "MEMORY_MB"]);
  });
  it("count all of a flavor's disks, and swap as whole GiB", () => {
    const { flavor } = specOf();
    const disk = (ephemeral: number, swap: number) => resourcesOf({ ...flavor, ephemeral, swap }).disk_gb;
    expect([disk(0, 0), disk(2, 0), disk(0, 1), disk(2, 1024), disk(0, 1025)]).toEqual([10, 12, 11, 13, 12]);
    expect(resourcesOf(flavor)).toEqual({ vcpus: 1, memory_mb: 1024, disk_gb: 10 });
  });
  it("of a host smaller than its reservation are never negative", () => {
    const all = { vcpus: 3, memory_mb: 9999, disk_gb: 11 };
    expect(capacity(TOTAL, all, RATIOS)).toEqual({ vcpus: 0, memory_mb: 0, disk_gb: 0 });
  });
});

describe("the ratio in force", () => {
  const set = { ...options, CPU_ALLOCATION_RATIO: 8 };
  const kept = { cpu: 3, ram: 3, disk: 3 };
  it.each([
    ["the host's own", { cpu_allocation_ratio: 2, initial_cpu_allocation_ratio: 5 }, set, kept, 2],
    ["else the deployment's", { initial_cpu_allocation_ratio: 5 }, set, kept, 8],
    ["else what the host has", { initial_cpu_allocation_ratio: 5 }, options, kept, 3],
    ["else the host's initial one", { initial_cpu_allocation_ratio: 5 }, options, undefined, 5],
    ["else the deployment's initial one", undefined, options, undefined, 4],
  ])("is %s", (_, told, deployment, had, cpu) => {
    expect(ratiosOf(told, deployment, had).cpu).toBe(cpu);
  });
  it("is Nova's default where nobody says anything, as is what is reserved", () => {
    expect(ratiosOf(undefined, options, undefined)).toEqual({ cpu: 4, ram: 1, disk: 1 });
    expect(reservedOf(undefined, options)).toEqual({ vcpus: 0, memory_mb: 512, disk_gb: 0 });
    expect(
      reservedOf({ reserved_host_cpus: 1, reserved_host_memory_mb: 0, reserved_host_disk_mb: 1025 }, options),
    ).toEqual({ vcpus: 1, memory_mb: 0, disk_gb: 2 });
  });
  it.each(["0", "-1", "NaN", "many", "Infinity", "1001"])("is none of %s: no request is served by that", (wrong) => {
    for (const name of ["CPU_ALLOCATION_RATIO", "INITIAL_DISK_ALLOCATION_RATIO"]) {
      expect(() => config({ ...env, [name]: wrong })).toThrow(name);
    }
  });
});

describe("a host", () => {
  const agents: ScriptedAgent[] = [];
  afterEach(() => {
    for (const agent of agents.splice(0)) agent.unlink();
  });
  const link = async (name: string, inventory = INVENTORY) => {
    const agent = await new ScriptedAgent(name).link(inventory);
    agents.push(agent);
    return agent;
  };
  const host = (name: string) => env.HOST.getByName(name);
  const claim = (name: string, change: object = {}) =>
    host(name).claim({
      ...{ server: crypto.randomUUID(), generation: 1, vcpus: 1, memory_mb: 1, disk_gb: 0 },
      ...change,
    });
  const service = (name: string) =>
    runInDurableObject(host(name), (_, state) => state.storage.kv.get<Record<string, unknown>>("service"));

  it("keeps the ratio that it had when nobody sets one any more", async () => {
    await link("ratio-kept", { ...INVENTORY, options: { cpu_allocation_ratio: 2 } });
    expect((await host("ratio-kept").state())?.capacity.vcpus).toBe(8);
    await link("ratio-kept", { ...INVENTORY, options: { initial_cpu_allocation_ratio: 16 } });
    expect(await host("ratio-kept").state()).toMatchObject({ ratios: { cpu: 2 }, capacity: { vcpus: 8 } });
  });
  it("from before ratios were kept has the initial ones", async () => {
    await link("ratio-none");
    await runInDurableObject(host("ratio-none"), (_, { storage }) => {
      const { ratios: _ratios, ...old } = storage.kv.get<Record<string, unknown>>("service") ?? {};
      storage.kv.put("service", old);
    });
    expect(await host("ratio-none").state()).toMatchObject({ ratios: { cpu: 4, ram: 1, disk: 1 } });
    expect(await claim("ratio-none")).toMatchObject({ ok: true });
  });
  it("whose room shrinks below what is in use keeps what it has, and takes no more", async () => {
    const server = crypto.randomUUID();
    await link("shrunk");
    expect(await claim("shrunk", { server, vcpus: 4, memory_mb: 4096 })).toMatchObject({ ok: true });
    const options = { cpu_allocation_ratio: 0.5, reserved_host_memory_mb: 1_000_000, reserved_host_cpus: 3 };
    await link("shrunk", { ...INVENTORY, options });
    expect(await host("shrunk").state()).toMatchObject({
      capacity: { vcpus: 0, memory_mb: 0 },
      used: { vcpus: 4, memory_mb: 4096, instances: 1 },
    });
    expect(await claim("shrunk", { server, vcpus: 4, memory_mb: 4096 })).toMatchObject({ ok: true });
    expect(await claim("shrunk")).toEqual({
      ok: false,
      error: { kind: "lacking", classes: ["VCPU", "MEMORY_MB"] },
    });
    await host("shrunk").dismiss({ server, generation: 1 });
    expect((await host("shrunk").state())?.used).toEqual({ vcpus: 0, memory_mb: 0, disk_gb: 0, instances: 0 });
  });
  it("takes a server back only when its earlier guest has gone, and then keeps the new claim", async () => {
    const server = crypto.randomUUID();
    const agent = await link("back");
    await claim("back", { server });
    agent.unlink();
    expect(await host("back").dismiss({ server, generation: 1 })).toEqual({ state: "leaving", connected: false });
    const destroys: string[] = [];
    agent.answer = ({ id }) => {
      destroys.push(id);
      return null;
    };
    await agent.link();
    await until(() => destroys.length > 0, "the guest is to be destroyed");
    expect(await claim("back", { server, generation: 2 })).toEqual({ ok: false, error: { kind: "leaving" } });
    agent.send({ t: "result", call: destroys[0]!, outcome: { ok: true, value: { power_state: 0 } } });
    await until(async () => (await host("back").state())?.used.instances === 0, "the claim is free");
    expect(await claim("back", { server, generation: 2 })).toMatchObject({ ok: true });
    // A guest of the first incarnation that somebody destroys late takes nothing of the second.
    const late = { id: "late", server, generation: 1, method: "destroy" as const, params: {} };
    const answer = host("back").call(late);
    await until(() => destroys.includes("late"), "the late destroy is asked for");
    agent.send({ t: "result", call: "late", outcome: { ok: true, value: { power_state: 0 } } });
    await answer;
    expect((await host("back").state())?.used.instances).toBe(1);
  });

  it("keeps its metrics with its link, through hibernation, and writes none of them", async () => {
    const metrics = { "cpu.percent": 7, "cpu.frequency": 2000 };
    const agent = await link("metrics");
    const before = await service("metrics");
    agent.send({ t: "inventory", inventory: { ...INVENTORY, metrics } });
    const told = async () => (await env.SCHEDULER.getByName("default").hosts()).find((one) => one.host === "metrics");
    await until(async () => (await told())?.inventory.metrics?.["cpu.percent"] === 7, "the scheduler knows");
    await evictDurableObject(host("metrics"), { webSockets: "hibernate" });
    expect((await host("metrics").state())?.inventory.metrics).toEqual(metrics);
    expect(await service("metrics")).toEqual(before);
    agent.unlink();
    await until(async () => (await host("metrics").state())?.inventory.metrics === undefined, "they end with the link");
  });
});

it("hosts of one kind share what is known of their processors", () => {
  const topology = { cells: 1, sockets: 1, cores: 1, threads: 1 };
  const pool = new Pool();
  const of = (model: string) => {
    const cpu_info = { vendor: "a", model, arch: "c", features: ["d"], topology };
    return pool.share({ ...INVENTORY, cpu_info }).cpu_info;
  };
  const first = of("b");
  expect(of("b")).toBe(first);
  expect(of("e")).toMatchObject({ model: "e" });
  // A host that makes up ever new ones does not fill the memory: in the end all begins anew.
  for (let at = 0; at < 1000; at++) of(`made-up-${at}`);
  expect(of("b")).not.toBe(first);
  expect(of("b")).toEqual(first);
});
