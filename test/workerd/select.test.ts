import { env } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { capacity, lacking, resourcesOf } from "../../functions/compute/claims.ts";
import { config } from "../../functions/config.ts";
import { ALL_FILTERS } from "../../functions/scheduler/filters/all.ts";
import type { KnownHost, RequestSpec } from "../../functions/scheduler/host-state.ts";
import { byName, filterHosts, pick, weighHosts } from "../../functions/scheduler/select.ts";
import { ALL_WEIGHERS } from "../../functions/scheduler/weighers/all.ts";
import type { Weigher } from "../../functions/scheduler/weighers/weigher.ts";
import { INVENTORY } from "./scripted-agent.ts";
import { specOf } from "./specs.ts";

const options = config(env);

function host(name: string, change: Partial<KnownHost> & { free?: number } = {}): KnownHost {
  const { free = 4096, ...rest } = change;
  return {
    id: 1,
    zone: "nova",
    host: name,
    uuid: name,
    seq: 1,
    up: true,
    enabled: true,
    disabled_reason: null,
    forced_down: false,
    updated_at: null,
    inventory: INVENTORY,
    capacity: { vcpus: 16, memory_mb: 8192, disk_gb: 100 },
    used: { vcpus: 0, memory_mb: 8192 - free, disk_gb: 0, instances: 0 },
    ...rest,
  };
}
const spec = (change: Partial<RequestSpec> = {}): RequestSpec => ({
  server: "s",
  vcpus: 1,
  memory_mb: 1024,
  disk_gb: 1,
  availability_zone: null,
  requested_host: null,
  requested_destination: null,
  group: null,
  ...change,
});
const names = (hosts: KnownHost[]) => hosts.map((one) => one.host);

describe("filters", () => {
  it("let through hosts that are up, enabled and have the memory", () => {
    const hosts = [
      host("fits"),
      host("exactly", { free: 1024 }),
      host("full", { free: 1023 }),
      host("down", { up: false }),
      host("disabled", { enabled: false }),
    ];
    expect(names(filterHosts(hosts, ALL_FILTERS, spec()))).toEqual(["fits", "exactly"]);
  });

  it("let through hosts of the zone that was asked for, or all", () => {
    const hosts = [host("a"), host("b", { zone: "east" })];
    expect(names(filterHosts(hosts, ALL_FILTERS, spec({ availability_zone: "east" })))).toEqual(["b"]);
    expect(names(filterHosts(hosts, ALL_FILTERS, spec()))).toEqual(["a", "b"]);
  });

  it.each([
    ["anti-affinity", 1, ["c"]],
    ["anti-affinity", 2, ["b", "c"]],
    ["affinity", 1, []],
    ["soft-anti-affinity", 1, ["a", "b", "c"]],
  ] as const)("of %s with at most %i on a host leave %j", (policy, max_server_per_host, left) => {
    const group = { policy, max_server_per_host, hosts: { a: 2, b: 1 } };
    const hosts = [host("a"), host("b"), host("c")];
    expect(names(filterHosts(hosts, ALL_FILTERS, spec({ group })))).toEqual(left);
  });

  it("of affinity leave the host where the group is, or all while it is nowhere", () => {
    const hosts = [host("a"), host("b")];
    const group = (on: Record<string, number>) => ({ policy: "affinity" as const, max_server_per_host: 1, hosts: on });
    expect(names(filterHosts(hosts, ALL_FILTERS, spec({ group: group({ b: 3 }) })))).toEqual(["b"]);
    expect(names(filterHosts(hosts, ALL_FILTERS, spec({ group: group({}) })))).toEqual(["a", "b"]);
  });

  it("see only the host that was named, unfiltered: naming it skips the choice", () => {
    const hosts = [host("a"), host("b", { free: 0 })];
    expect(names(filterHosts(hosts, ALL_FILTERS, spec({ requested_host: "b" })))).toEqual(["b"]);
    expect(names(filterHosts(hosts, ALL_FILTERS, spec({ requested_host: "c" })))).toEqual([]);
  });

  it("run on the host that is the destination, and let it through or not", () => {
    const hosts = [host("a"), host("b"), host("c", { up: false })];
    expect(names(filterHosts(hosts, ALL_FILTERS, spec({ requested_destination: "b" })))).toEqual(["b"]);
    expect(names(filterHosts(hosts, ALL_FILTERS, spec({ requested_destination: "c" })))).toEqual([]);
    expect(names(filterHosts(hosts, ALL_FILTERS, spec({ requested_host: "c" })))).toEqual(["c"]);
  });

  it("run in the order of their names, and an unknown name is told with the known ones", () => {
    expect(byName("ENABLED_FILTERS", ALL_FILTERS, ["RamFilter", "ComputeFilter"]).map((one) => one.name)).toEqual([
      "RamFilter",
      "ComputeFilter",
    ]);
    expect(() => byName("ENABLED_FILTERS", ALL_FILTERS, ["RamFiltre"])).toThrow(
      "ENABLED_FILTERS: RamFiltre is not one of ComputeFilter, AvailabilityZoneFilter, RamFilter",
    );
  });
});

describe("weighers", () => {
  const hosts = [host("low", { free: 1024 }), host("high", { free: 8192 }), host("mid", { free: 4096 })];

  it("spread by free memory, or pack when the multiplier is negative", () => {
    expect(names(weighHosts(hosts, ALL_WEIGHERS, spec(), options))).toEqual(["high", "mid", "low"]);
    const packing = { ...options, RAM_WEIGHT_MULTIPLIER: -1 };
    expect(names(weighHosts(hosts, ALL_WEIGHERS, spec(), packing))).toEqual(["low", "mid", "high"]);
  });

  it("are scaled over these hosts before they are summed, so that no unit outweighs another", () => {
    const of = (name: string, minval: number | undefined, values: Record<string, number>): Weigher => ({
      name,
      multiplier: () => 1,
      ...(minval === undefined ? {} : { minval }),
      weigh: (one) => values[one.host] ?? 0,
    });
    // Scaled: millions 0, 1, 0.5 and tiny 1, 0, 0.9. The sum of the raw values would put "high" first.
    const millions = of("millions", undefined, { low: 0, high: 2e6, mid: 1e6 });
    const tiny = of("tiny", undefined, { low: 1, high: 0, mid: 0.9 });
    expect(names(weighHosts(hosts, [millions, tiny], spec(), options))[0]).toBe("mid");
    // All equal and not zero: with a fixed low end all get 1, without one all get 0; the order stays.
    expect(names(weighHosts(hosts, [of("same", 0, { low: 5, high: 5, mid: 5 })], spec(), options))).toEqual([
      "low",
      "high",
      "mid",
    ]);
  });
});

describe("pick", () => {
  const ranked = ["a", "b", "c", "d"].map((name) => host(name));

  it("takes the best, and the next as alternates", () => {
    expect(names(pick(ranked, 1, 3, () => 0.99))).toEqual(["a", "b", "c"]);
  });
  it("takes one of the first subset at random, and keeps the order of the rest", () => {
    expect(names(pick(ranked, 3, 3, () => 0.99))).toEqual(["c", "a", "b"]);
    expect(names(pick(ranked, 3, 3, () => 0.34))).toEqual(["b", "a", "c"]);
    expect(names(pick(ranked, 99, 9, () => 0.99))).toEqual(["d", "a", "b", "c"]);
  });
  it("takes none of none", () => {
    expect(pick([], 1, 3, () => 0)).toEqual([]);
  });
});

describe("claims", () => {
  const ratios = {
    CPU_ALLOCATION_RATIO: 4,
    RAM_ALLOCATION_RATIO: 1.5,
    DISK_ALLOCATION_RATIO: 1,
    RESERVED_HOST_MEMORY_MB: 512,
  };
  it("fit up to (total - reserved) x ratio, and name what they lack", () => {
    const total = capacity({ ...INVENTORY, vcpus: 2, memory_mb: 2560, local_gb: 10 }, ratios);
    expect(total).toEqual({ vcpus: 8, memory_mb: 3072, disk_gb: 10 });
    const used = { vcpus: 7, memory_mb: 2048, disk_gb: 0 };
    expect(lacking(total, used, { vcpus: 1, memory_mb: 1024, disk_gb: 10 })).toEqual([]);
    expect(lacking(total, used, { vcpus: 2, memory_mb: 1025, disk_gb: 11 })).toEqual(["VCPU", "MEMORY_MB", "DISK_GB"]);
  });
  it("count all of a flavor's disks, and swap as whole GiB", () => {
    const { flavor } = specOf();
    const disk = (ephemeral: number, swap: number) => resourcesOf({ ...flavor, ephemeral, swap }).disk_gb;
    expect([disk(0, 0), disk(2, 0), disk(0, 1), disk(2, 1024), disk(0, 1025)]).toEqual([10, 12, 11, 13, 12]);
    expect(resourcesOf(flavor)).toEqual({ vcpus: 1, memory_mb: 1024, disk_gb: 10 });
  });
  it("of a host smaller than its reservation are never negative", () => {
    expect(capacity({ ...INVENTORY, memory_mb: 256 }, ratios).memory_mb).toBe(0);
  });
});
