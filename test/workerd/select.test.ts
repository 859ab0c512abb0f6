import { env } from "cloudflare:test";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { config } from "../../functions/config.ts";
import { explain } from "../../functions/scheduler/decision.ts";
import { filterHosts } from "../../functions/scheduler/filter-hosts.ts";
import { ALL_FILTERS } from "../../functions/scheduler/filters/all.ts";
import type { CandidateHost, RequestSpec } from "../../functions/scheduler/host-state.ts";
import { bestOf, pick, shuffleBest } from "../../functions/scheduler/rank.ts";
import { selectHosts } from "../../functions/scheduler/select.ts";
import { scaled, scaleOf, tellOf, weighHosts } from "../../functions/scheduler/weigh-hosts.ts";
import { ALL_WEIGHERS } from "../../functions/scheduler/weighers/all.ts";
import type { Weigher } from "../../functions/scheduler/weighers/weigher.ts";
import { candidate, inAggregate, requestOf } from "./candidates.ts";
import { INVENTORY } from "./scripted-agent.ts";

const options = config(env);

const host = (name: string, { free = 4096, ...change }: Partial<CandidateHost> & { free?: number } = {}) =>
  candidate({ host: name, used: { vcpus: 0, memory_mb: 8192 - free, disk_gb: 0, instances: 0 }, ...change });
const NOTHING = { vcpus: 0, memory_mb: 8192, disk_gb: 100 };
const spec = requestOf;
const names = (hosts: readonly { host: string }[]) => hosts.map((one) => one.host);
const filtered = async (hosts: CandidateHost[], asked: RequestSpec) =>
  names((await filterHosts(hosts, ALL_FILTERS, asked, options)).passed);
const weighed = async (hosts: CandidateHost[], weighers: readonly Weigher[], asked: RequestSpec, change = {}) => {
  const weights = await weighHosts(hosts, weighers, asked, { ...options, ...change });
  return tellOf(hosts, weights, bestOf(weights.totals, hosts.length));
};
const ranked = async (...args: Parameters<typeof weighed>) => names(await weighed(...args));

describe("filters", () => {
  it("let through hosts that are up, enabled and have the memory", async () => {
    const hosts = [
      host("fits"),
      host("exactly", { free: 1024 }),
      host("full", { free: 1023 }),
      host("down", { up: false }),
      host("disabled", { enabled: false }),
    ];
    expect(await filtered(hosts, spec())).toEqual(["fits", "exactly"]);
  });

  it("let through hosts of the zone that was asked for, or all", async () => {
    const hosts = [host("a"), host("b", { zone: "east" })];
    expect(await filtered(hosts, spec({ availability_zone: "east" }))).toEqual(["b"]);
    expect(await filtered(hosts, spec())).toEqual(["a", "b"]);
  });

  it.each([
    ["anti-affinity", 1, ["c"]],
    ["anti-affinity", 2, ["b", "c"]],
    ["affinity", 1, []],
    ["soft-anti-affinity", 1, ["a", "b", "c"]],
  ] as const)("of %s with at most %i on a host leave %j", async (policy, max_server_per_host, left) => {
    const group = { policy, max_server_per_host, hosts: { a: 2, b: 1 } };
    const hosts = [host("a"), host("b"), host("c")];
    expect(await filtered(hosts, spec({ group }))).toEqual(left);
  });

  it("of affinity leave the host where the group is, or all while it is nowhere", async () => {
    const hosts = [host("a"), host("b")];
    const group = (on: Record<string, number>) => ({ policy: "affinity" as const, max_server_per_host: 1, hosts: on });
    expect(await filtered(hosts, spec({ group: group({ b: 3 }) }))).toEqual(["b"]);
    expect(await filtered(hosts, spec({ group: group({}) }))).toEqual(["a", "b"]);
  });

  it("are not asked of a host by force, but what Placement stands for is", async () => {
    const hosts = [host("a"), host("b", { up: false }), host("full", { free: 0 }), host("off", { enabled: false })];
    const forced = (requested_host: string, change = {}) => filtered(hosts, spec({ requested_host, ...change }));
    expect(await forced("b")).toEqual(["b"]);
    expect(await forced("full")).toEqual([]);
    expect(await forced("off")).toEqual([]);
    expect(await forced("unknown")).toEqual([]);
    expect(await forced("a", { availability_zone: "nova" })).toEqual(["a"]);
    expect(await forced("a", { availability_zone: "east" })).toEqual([]);
  });

  it("run on the host that is the destination, and let it through or not", async () => {
    const hosts = [host("a"), host("b"), host("c", { up: false })];
    expect(await filtered(hosts, spec({ requested_destination: "b" }))).toEqual(["b"]);
    expect(await filtered(hosts, spec({ requested_destination: "c" }))).toEqual([]);
    expect(await filtered(hosts, spec({ requested_host: "c" }))).toEqual(["c"]);
  });

  it("that an image has to do with are all that the host of a server that is rebuilt is asked", async () => {
    const supported_instances = [{ arch: "x86_64", hv_type: "kvm", vm_mode: "hvm" }];
    const there = { inventory: { ...INVENTORY, supported_instances }, up: false, enabled: false, free: 0 };
    const hosts = [host("a", { ...there, ...inAggregate({ hw_machine_type: "q35" }) }), host("b", there)];
    const rebuilt = async (properties: Record<string, string>, change = {}) => {
      const asked = spec({ requested_destination: "a", is_rebuild: true, image: { id: "other", properties } });
      const { steps, passed } = await filterHosts(hosts, ALL_FILTERS, asked, { ...options, ...change });
      return [names(passed), steps.map(({ name }) => name)];
    };
    const asked = ["current host", "ImagePropertiesFilter", "AggregateImagePropertiesIsolation", "IsolatedHostsFilter"];
    expect(await rebuilt({ hw_architecture: "x86_64", hw_machine_type: "q35" })).toEqual([["a"], asked]);
    expect(await rebuilt({ hw_architecture: "aarch64" })).toEqual([[], asked.slice(0, 2)]);
    expect(await rebuilt({ hw_machine_type: "pc" })).toEqual([[], asked.slice(0, 3)]);
    expect(await rebuilt({}, { ISOLATED_HOSTS: ["a"] })).toEqual([[], asked]);
    expect(await rebuilt({}, { ISOLATED_HOSTS: ["a"], ISOLATED_IMAGES: ["other"] })).toEqual([["a"], asked]);
  });

  it("hold for resources whatever is enabled", async () => {
    const hosts = [host("a"), host("ram", { free: 0 }), host("cpu", { capacity: NOTHING }), host("b")];
    const { passed } = await filterHosts(hosts, [], spec(), options);
    expect(names(passed)).toEqual(["a", "b"]);
  });

  it("leave a record of how many came in and went out, and why the first did not", async () => {
    const hosts = Array.from({ length: 9 }, (_, at) => host(`h${at}`, { up: at > 6 }));
    const { steps } = await filterHosts(hosts, ALL_FILTERS, spec(), options);
    expect(steps.find((step) => step.name === "ComputeFilter")).toEqual({
      name: "ComputeFilter",
      in: 9,
      out: 2,
      reasons: [0, 1, 2, 3, 4].map((at) => ({ host: `h${at}`, reason: "its service is down" })),
    });
    expect(steps.at(-1)).toMatchObject({ in: 2, out: 2 });
  });

  it("are not asked of nobody: the one that removed the last host is the last of the record", async () => {
    const { steps } = await filterHosts([host("a", { up: false })], ALL_FILTERS, spec(), options);
    expect(steps.at(-1)).toMatchObject({ name: "ComputeFilter", out: 0 });
  });
});

describe("weighers", () => {
  const hosts = [host("low", { free: 1024 }), host("high", { free: 8192 }), host("mid", { free: 4096 })];
  const of = (name: string, values: Record<string, number>, minval?: number): Weigher => ({
    name,
    option: `${name}_weight_multiplier`,
    multiplier: () => 1,
    ...(minval === undefined ? {} : { minval }),
    ask: () => (one) => values[one.host] ?? 0,
  });

  it("spread by free memory, or pack when the multiplier is negative", async () => {
    expect(await ranked(hosts, ALL_WEIGHERS, spec())).toEqual(["high", "mid", "low"]);
    expect(await ranked(hosts, ALL_WEIGHERS, spec(), { RAM_WEIGHT_MULTIPLIER: -1 })).toEqual(["low", "mid", "high"]);
  });

  it("are scaled over these hosts before they are summed, so that no unit outweighs another", async () => {
    // Scaled: millions 0, 1, 0.5 and tiny 1, 0, 0.9. The sum of the raw values would put "high" first.
    const millions = of("millions", { low: 0, high: 2e6, mid: 1e6 });
    const tiny = of("tiny", { low: 1, high: 0, mid: 0.9 });
    expect((await ranked(hosts, [millions, tiny], spec()))[0]).toBe("mid");
  });

  it("scale from their own low end where they have one", () => {
    const normalize = (values: number[], ends: { minval?: number; maxval?: number }) =>
      values.map((value) => scaled(value, scaleOf(values, ends)));
    expect(normalize([1, 2, 3], {})).toEqual([0, 0.5, 1]);
    expect(normalize([1, 2, 4], { minval: 0 })).toEqual([0.25, 0.5, 1]);
    expect(normalize([5, 5], { minval: 0 })).toEqual([1, 1]);
    expect(normalize([5, 5], {})).toEqual([0, 0]);
    expect(normalize([0, 0], { minval: 0 })).toEqual([0, 0]);
    expect(normalize([-2, 2], { minval: 0 })).toEqual([-1, 1]);
    expect(normalize([1, 2], { minval: 0, maxval: 4 })).toEqual([0.25, 0.5]);
    expect(normalize([], {})).toEqual([]);
  });

  it("tell of a host: raw, scaled and multiplied", async () => {
    const many = Array.from({ length: 12 }, (_, at) => host(`h${at}`, { free: at * 512 }));
    const [best] = await weighed(many, [ALL_WEIGHERS[0]!], spec(), { RAM_WEIGHT_MULTIPLIER: 2 });
    expect(best).toEqual({ host: "h11", weight: 2, weighers: [{ name: "RAMWeigher", raw: 5632, weighted: 2 }] });
  });

  it("take the multiplier of a host's aggregates, the least of several, and none that is no number", async () => {
    const ram = [ALL_WEIGHERS[0]!];
    const key = "ram_weight_multiplier";
    const weights = async (...metadata: Record<string, string>[]) => {
      const pair = [host("plain", { free: 4096 }), host("special", { free: 8192, ...inAggregate(...metadata) })];
      return (await weighed(pair, ram, spec())).find((one) => one.host === "special")?.weight;
    };
    expect(await weights()).toBe(1);
    expect(await weights({ [key]: "-3" })).toBe(-3);
    expect(await weights({ [key]: "4" }, { [key]: "2.5" }, { other: "1" })).toBe(2.5);
    expect(await weights({ [key]: "much" })).toBe(1);
  });

  it("are not asked of one host alone", async () => {
    expect(await weighed([host("a")], ALL_WEIGHERS, spec())).toEqual([{ host: "a", weight: 0, weighers: [] }]);
  });
});

describe("a selection", () => {
  const hosts = (...all: CandidateHost[]) => all;
  const plugins = { filters: ALL_FILTERS, weighers: ALL_WEIGHERS };

  it("tells what was chosen, and of what", async () => {
    const known = hosts(host("a"), host("b", { free: 8192 }), host("c", { up: false }));
    const { chosen, decision } = await selectHosts(known, plugins, spec(), options, () => 0);
    expect(names(chosen)).toEqual(["b", "a"]);
    expect(decision).toMatchObject({ hosts: 3, chosen: ["b", "a"], trouble: null });
    expect(explain(decision)).toMatch(
      /^b was chosen \(weight [\d.]+\), alternates a\. 3 hosts are known\. ComputeFilter let 2 of 3 through \(c: its service is down\)\.$/,
    );
  });

  it("of none tells which filter removed whom", async () => {
    const { chosen, decision } = await selectHosts(hosts(host("c", { free: 0 })), plugins, spec(), options, () => 0);
    expect(chosen).toEqual([]);
    expect(explain(decision)).toBe(
      "No host was chosen: 1 host is known. placement: resources let 0 of 1 through (c: memory_mb: 1024 asked for, 0 free).",
    );
  });

  it("of a requested destination has no alternates", async () => {
    const asked = spec({ requested_destination: "a" });
    const { decision } = await selectHosts(hosts(host("a"), host("b")), plugins, asked, options, () => 0);
    expect(decision.chosen).toEqual(["a"]);
  });

  it("fails when a metric that is required is missing", async () => {
    const setting = { ...options, METRICS_WEIGHT_SETTING: [{ name: "cpu.percent", ratio: -1 }] };
    const weighers = { ...plugins, filters: [] };
    const known = hosts(host("a"), host("b"));
    const { chosen, decision } = await selectHosts(known, weighers, spec(), setting, () => 0);
    expect([chosen, decision.trouble]).toEqual([[], "a reports no metric cpu.percent"]);
    const lax = await selectHosts(known, weighers, spec(), { ...setting, METRICS_REQUIRED: false }, () => 0);
    expect(lax.chosen).toHaveLength(2);
  });

  it("draws among the best of one weight when told to, of however many", async () => {
    const alike = Array.from({ length: 200 }, (_, at) => host(`h${at}`));
    const shuffling = { ...options, SHUFFLE_BEST_SAME_WEIGHED_HOSTS: true };
    const drawn = async (change: typeof options, random: number) =>
      (await selectHosts(alike, plugins, spec(), change, () => random)).decision.chosen[0];
    expect(await drawn(options, 0.99)).toBe("h0");
    expect(await drawn(shuffling, 0.99)).toBe("h198");
    expect(await drawn(shuffling, 0.5)).toBe("h100");
  });

  it("is at random among the first of the subset, beyond those that are told of", async () => {
    const many = Array.from({ length: 50 }, (_, at) => host(`h${at}`, { free: 8000 - at }));
    const drawn = async (random: number, HOST_SUBSET_SIZE: number) =>
      (await selectHosts(many, plugins, spec(), { ...options, HOST_SUBSET_SIZE }, () => random)).decision;
    expect((await drawn(0.99, 30)).chosen).toEqual(["h29", "h0", "h1"]);
    expect((await drawn(0.99, 1000)).chosen).toEqual(["h49", "h0", "h1"]);
    expect((await drawn(0.99, 30)).best).toHaveLength(10);
    expect((await drawn(0.99, 1)).chosen).toEqual(["h0", "h1", "h2"]);
  });
});

describe("the best of many", () => {
  it("are those that sorting all would put first, equal ones in their order", () => {
    const weight = fc.integer({ min: -3, max: 3 });
    fc.assert(
      fc.property(fc.array(weight, { maxLength: 40 }), fc.nat({ max: 45 }), (weights, count) => {
        const sorted = weights.map((_, at) => at).sort((a, b) => weights[b]! - weights[a]!);
        expect(bestOf(Float64Array.from(weights), count)).toEqual(sorted.slice(0, count));
      }),
    );
  });

  it("are drawn from all that weigh as much, and the others keep their order", () => {
    const weights = Float64Array.of(3, 1, 3, 2, 3);
    const ranked = bestOf(weights, 4);
    expect(ranked).toEqual([0, 2, 4, 3]);
    expect(shuffleBest(ranked, weights, () => 0.99)).toEqual([4, 2, 0, 3]);
    expect(shuffleBest(ranked.slice(0, 1), weights, () => 0.5)).toEqual([2]);
    expect(shuffleBest([], new Float64Array(0), () => 0)).toEqual([]);
  });
});

describe("pick", () => {
  const order = ["a", "b", "c", "d"];

  it("takes the one that was drawn, and the first of the rest as alternates", () => {
    expect(pick(order, 0, 3)).toEqual(["a", "b", "c"]);
    expect(pick(order, 2, 3)).toEqual(["c", "a", "b"]);
    expect(pick(order, 1, 3)).toEqual(["b", "a", "c"]);
    expect(pick(order, 3, 9)).toEqual(["d", "a", "b", "c"]);
  });
  it("takes none of none", () => {
    expect(pick([], 0, 3)).toEqual([]);
  });
});
