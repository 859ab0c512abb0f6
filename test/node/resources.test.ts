/** What hosts have and what is taken of it, to the last MiB, after everything that takes and gives back; and their metrics. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ask, demoImage, ROOT, startTestEdge, type TestEdge, until } from "../edge.ts";

const V = "/compute/v2.1";
const OWN = `
update_resources_interval = 0.1
reserved_host_cpus = 1
reserved_host_memory_mb = 100
reserved_host_disk_mb = 1025
cpu_allocation_ratio = 2.0
compute_monitors = ["cpu.virt_driver", "load.average"]
compute_monitors_path = ${JSON.stringify(join(ROOT, "test/examples/monitors"))}
`;
const SIZE = { vcpus: 4, memory_mb: 8192, local_gb: 100 };

let edge: TestEdge;
let image: string;
let flavor: string;

beforeAll(async () => {
  edge = await startTestEdge({
    SCHEDULER_ENABLED_FILTERS: "ComputeFilter, MetricsFilter",
    METRICS_WEIGHT_SETTING: "cpu.idle.time=1.0, load.1m=0.5",
    RESERVED_HOST_DISK_MB: "2048",
  });
  await edge.agent("own", { ...SIZE, toml: OWN });
  await edge.agent("plain", SIZE);
  image = await demoImage(edge.cloud);
  const body = { flavor: { name: "odd", vcpus: 2, ram: 300, disk: 3, "OS-FLV-EXT-DATA:ephemeral": 2, swap: 1 } };
  flavor = (await ask(edge, "POST", `${V}/flavors`, { body })).body.flavor.id;
});
afterAll(() => edge?.close());

const usageOf = async (host: string) => {
  const { hypervisors } = (await ask(edge, "GET", `${V}/os-hypervisors/detail`, { minor: 52 })).body;
  return hypervisors.find((one: { hypervisor_hostname: string }) => one.hypervisor_hostname === host);
};
const IDLE = {
  ...{ vcpus_used: 1, memory_mb_used: 100, local_gb_used: 2, running_vms: 0, current_workload: 0 },
  ...{ free_ram_mb: 8092, free_disk_gb: 98, disk_available_least: 98 },
};
const TAKEN = {
  ...{ vcpus_used: 3, memory_mb_used: 400, local_gb_used: 8, running_vms: 1, current_workload: 0 },
  ...{ free_ram_mb: 7792, free_disk_gb: 92, disk_available_least: 92 },
};
/** Waits until the host's usage is exactly this, and that of all hosts together too. */
async function used(want: typeof IDLE): Promise<void> {
  await until(
    async () => JSON.stringify(pick(await usageOf("own"), want)) === JSON.stringify(want),
    `own has ${JSON.stringify(want)}`,
  );
  const [own, plain] = [await usageOf("own"), await usageOf("plain")];
  const { hypervisor_statistics: all } = (await ask(edge, "GET", `${V}/os-hypervisors/statistics`)).body;
  for (const key of Object.keys(want)) expect([key, all[key]]).toEqual([key, own[key] + plain[key]]);
}
const pick = (from: Record<string, unknown>, like: object) =>
  Object.fromEntries(Object.keys(like).map((key) => [key, from[key]]));

async function create(change: object = {}): Promise<string> {
  const server = { name: "s", imageRef: image, flavorRef: flavor, networks: "none", ...change };
  const { status, body } = await ask(edge, "POST", `${V}/servers`, { body: { server } });
  expect([status, body]).toMatchObject([202, {}]);
  return body.server.id;
}
const act = (server: string, body: object) => ask(edge, "POST", `${V}/servers/${server}/action`, { body });
const status = (server: string) =>
  edge.call("GET", `${V}/servers/${server}`).then(async (answer) => ((await answer.json()) as Shown).server?.status);
type Shown = { server?: { status: string } };

describe("usage", () => {
  it("counts what a host keeps for itself, by its own options, else by the deployment's", async () => {
    expect(await usageOf("own")).toMatchObject(IDLE);
    expect(await usageOf("plain")).toMatchObject({ vcpus_used: 0, memory_mb_used: 512, local_gb_used: 2 });
    const { host } = (await ask(edge, "GET", `${V}/os-hosts/own`, { minor: 42 })).body;
    expect(host.map(({ resource }: { resource: object }) => resource)).toEqual([
      { host: "own", project: "(total)", cpu: 4, memory_mb: 8192, disk_gb: 100 },
      { host: "own", project: "(used_now)", cpu: 1, memory_mb: 100, disk_gb: 2 },
      { host: "own", project: "(used_max)", cpu: 0, memory_mb: 0, disk_gb: 0 },
    ]);
  });
  it("is exact after a build, shelving, its undoing, and a delete", { timeout: 60_000 }, async () => {
    const server = await create();
    await edge.cloud.built(server, 20_000);
    await used(TAKEN);
    await act(server, { shelve: null });
    await until(async () => (await status(server)) === "SHELVED_OFFLOADED", "it is shelved");
    await used(IDLE);
    await act(server, { unshelve: null });
    await until(async () => (await status(server)) === "ACTIVE", "it is back");
    await used(TAKEN);
    await ask(edge, "DELETE", `${V}/servers/${server}`);
    await used(IDLE);
  });
  it("is exact after a build that failed, and one that was deleted while it went on", { timeout: 60_000 }, async () => {
    const failed = await create({ metadata: { "fake:fail": "spawn" } });
    expect((await edge.cloud.built(failed, 20_000)).status).toBe("ERROR");
    await used(IDLE);
    const slow = await create({ metadata: { "fake:delay_ms": "600000" } });
    await used({ ...TAKEN, current_workload: 1 });
    const gone = await create();
    for (const server of [failed, slow, gone]) await ask(edge, "DELETE", `${V}/servers/${server}`);
    await used(IDLE);
  });
});

describe("a host's own ratio", () => {
  it("is what its vcpus may be claimed by: (4 - 1) x 2, two at a time", { timeout: 60_000 }, async () => {
    const servers = [await create(), await create(), await create()];
    for (const server of servers) expect((await edge.cloud.built(server, 20_000)).status).toBe("ACTIVE");
    expect((await edge.cloud.built(await create(), 20_000)).status).toBe("ERROR");
    for (const server of servers) await ask(edge, "DELETE", `${V}/servers/${server}`);
    await used(IDLE);
  });
});

describe("metrics of a real agent", () => {
  const dryRun = async () => {
    const server = { name: "s", imageRef: image, flavorRef: flavor, networks: "none" };
    return (await ask(edge, "POST", `${V}/scheduling`, { body: { server } })).body.scheduling;
  };
  it("let MetricsFilter pass the host that measures, and no other", async () => {
    const { chosen, filters } = await dryRun();
    expect(chosen).toEqual(["own"]);
    expect(filters.at(-1)).toMatchObject({
      ...{ name: "MetricsFilter", in: 2, out: 1 },
      reasons: [{ host: "plain", reason: "it reports no metric cpu.idle.time, load.1m" }],
    });
  });
  it("are what MetricsWeigher weighs hosts by, with the ratios of METRICS_WEIGHT_SETTING", async () => {
    await edge.agent("second", { ...SIZE, toml: OWN });
    const { best } = await until(async () => {
      const run = await dryRun();
      return run.best.length === 2 ? run : null;
    }, "both are weighed");
    const weighers = best.flatMap((one: { weighers: { name: string; raw: number }[] }) => one.weighers);
    const raw = weighers.flatMap(({ name, raw }: { name: string; raw: number }) =>
      name === "MetricsWeigher" ? [raw] : [],
    );
    expect(raw).toHaveLength(2);
    // Idle nanoseconds of this machine since it booted.
    for (const value of raw) expect(value).toBeGreaterThan(1e9);
  });
});
