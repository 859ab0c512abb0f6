/** Each filter of the box: which host passes for which request. */
import { env } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { type Config, config } from "../../functions/config.ts";
import { ALL_FILTERS } from "../../functions/scheduler/filters/all.ts";
import type { CandidateHost, RequestSpec } from "../../functions/scheduler/host-state.ts";
import { PLACEMENT } from "../../functions/scheduler/placement-query.ts";
import { candidate, inAggregate, requestOf } from "./candidates.ts";
import { INVENTORY } from "./scripted-agent.ts";

const options = config(env);

/** Null when the host passes, else why not. */
function refusal(name: string, spec: Partial<RequestSpec>, host: Partial<CandidateHost>, change: Partial<Config> = {}) {
  const filter = [...ALL_FILTERS, ...PLACEMENT].find((one) => one.name === name);
  if (filter === undefined) throw new Error(`no filter ${name}`);
  return filter.ask(requestOf(spec), { ...options, ...change })?.(candidate(host)) ?? null;
}

const specs = (extra_specs: Record<string, string>) => ({ flavor: { name: "f", extra_specs } });
const image = (properties: Record<string, string>) => ({ image: { id: "i", properties } });
const hint = (name: string, ...values: string[]) => ({ hints: { [name]: values } });
const used = (instances: number) => ({ used: { vcpus: 0, memory_mb: 0, disk_gb: 0, instances } });
const inventory = (change: Partial<CandidateHost["inventory"]>) => ({ inventory: { ...INVENTORY, ...change } });
const RUNS = inventory({
  hypervisor_version: 6_002_000,
  supported_instances: [
    { arch: "x86_64", hv_type: "kvm", vm_mode: "hvm" },
    { arch: "i686", hv_type: "qemu", vm_mode: "hvm" },
  ],
});
const ISOLATED = { ISOLATED_HOSTS: ["h"], ISOLATED_IMAGES: ["i"] };
const OTHERS = { ISOLATED_HOSTS: ["other"], ISOLATED_IMAGES: ["other"] };
const METRIC = { METRICS_WEIGHT_SETTING: [{ name: "cpu", ratio: 1 }] };
const query = (value: unknown) => hint("query", JSON.stringify(value));
const nested = (depth: number): unknown => (depth === 0 ? [">", 2, 1] : ["and", nested(depth - 1)]);

type Case = [string, Partial<RequestSpec>, Partial<CandidateHost>, Partial<Config>, boolean];

describe.each<Case>([
  ["AllHostsFilter", {}, { up: false }, {}, true],
  ["ComputeFilter", {}, {}, {}, true],
  ["ComputeFilter", {}, { up: false }, {}, false],
  ["ComputeFilter", {}, { enabled: false }, {}, false],
  ["RamFilter", { memory_mb: 8192 }, {}, {}, true],
  ["RamFilter", { memory_mb: 8193 }, {}, {}, false],
  ["CoreFilter", { vcpus: 4 }, {}, {}, true],
  ["CoreFilter", { vcpus: 5 }, {}, {}, false],
  ["CoreFilter", { vcpus: 17 }, {}, {}, false],
  ["DiskFilter", { disk_gb: 100 }, {}, {}, true],
  ["DiskFilter", { disk_gb: 101 }, {}, {}, false],
  ["RetryFilter", { tried: ["other"] }, {}, {}, true],
  ["RetryFilter", { tried: ["h"] }, {}, {}, false],
  ["AvailabilityZoneFilter", { availability_zone: "nova" }, {}, {}, true],
  ["AvailabilityZoneFilter", { availability_zone: "east" }, {}, {}, false],
  // capabilities
  ["ComputeCapabilitiesFilter", specs({ "capabilities:vcpus": ">= 4" }), {}, {}, true],
  ["ComputeCapabilitiesFilter", specs({ "capabilities:vcpus": ">= 5" }), {}, {}, false],
  ["ComputeCapabilitiesFilter", specs({ "capabilities:hypervisor_type": "fake" }), {}, {}, true],
  ["ComputeCapabilitiesFilter", specs({ hypervisor_type: "s!= fake" }), {}, {}, false],
  ["ComputeCapabilitiesFilter", specs({ "capabilities:unheard_of": "1" }), {}, {}, false],
  ["ComputeCapabilitiesFilter", specs({ unheard_of: "1" }), {}, {}, true],
  ["ComputeCapabilitiesFilter", specs({ "quota:vcpus": ">= 999" }), {}, {}, true],
  ["ComputeCapabilitiesFilter", specs({ "capabilities:free_ram_mb": "<= 8192" }), {}, {}, true],
  [
    "ComputeCapabilitiesFilter",
    specs({ "capabilities:metrics:cpu": "== 3" }),
    inventory({ metrics: { cpu: 3 } }),
    {},
    true,
  ],
  ["ComputeCapabilitiesFilter", specs({ "capabilities:constructor": "<in> a" }), {}, {}, false],
  // images
  ["ImagePropertiesFilter", image({}), {}, {}, true],
  ["ImagePropertiesFilter", image({ hw_architecture: "x86_64" }), RUNS, {}, true],
  ["ImagePropertiesFilter", image({ architecture: "AMD64" }), RUNS, {}, true],
  ["ImagePropertiesFilter", image({ hw_architecture: "aarch64" }), RUNS, {}, false],
  ["ImagePropertiesFilter", image({ hw_architecture: "x86_64" }), {}, {}, false],
  ["ImagePropertiesFilter", image({ hw_architecture: "x86_64", img_hv_type: "qemu" }), RUNS, {}, false],
  ["ImagePropertiesFilter", image({ hw_architecture: "i686", img_hv_type: "qemu" }), RUNS, {}, true],
  ["ImagePropertiesFilter", image({ hw_vm_mode: "xen" }), RUNS, {}, false],
  ["ImagePropertiesFilter", image({ img_hv_requested_version: ">=6.0, <7.0" }), RUNS, {}, true],
  ["ImagePropertiesFilter", image({ img_hv_requested_version: ">=6.2.1" }), RUNS, {}, false],
  ["ImagePropertiesFilter", image({ img_hv_requested_version: "newest" }), RUNS, {}, false],
  ["ImagePropertiesFilter", image({}), RUNS, { IMAGE_PROPERTIES_DEFAULT_ARCHITECTURE: "aarch64" }, false],
  // load
  ["IoOpsFilter", {}, { io_ops: 7 }, {}, true],
  ["IoOpsFilter", {}, { io_ops: 8 }, {}, false],
  ["AggregateIoOpsFilter", {}, { io_ops: 2, ...inAggregate({ max_io_ops_per_host: "3" }) }, {}, true],
  [
    "AggregateIoOpsFilter",
    {},
    { io_ops: 2, ...inAggregate({ max_io_ops_per_host: "3" }, { max_io_ops_per_host: "2" }) },
    {},
    false,
  ],
  ["AggregateIoOpsFilter", {}, { io_ops: 7, ...inAggregate({ max_io_ops_per_host: "few" }) }, {}, true],
  ["NumInstancesFilter", {}, used(49), {}, true],
  ["NumInstancesFilter", {}, used(50), {}, false],
  ["AggregateNumInstancesFilter", {}, { ...used(2), ...inAggregate({ max_instances_per_host: "2" }) }, {}, false],
  ["AggregateNumInstancesFilter", {}, { ...used(51), ...inAggregate({ max_instances_per_host: "60" }) }, {}, true],
  // isolation
  ["IsolatedHostsFilter", {}, {}, {}, true],
  ["IsolatedHostsFilter", {}, {}, ISOLATED, true],
  ["IsolatedHostsFilter", {}, { host: "plain" }, ISOLATED, false],
  ["IsolatedHostsFilter", { image: { id: "plain", properties: {} } }, {}, ISOLATED, false],
  [
    "IsolatedHostsFilter",
    { image: { id: "plain", properties: {} } },
    {},
    { ...ISOLATED, RESTRICT_ISOLATED_HOSTS_TO_ISOLATED_IMAGES: false },
    true,
  ],
  ["IsolatedHostsFilter", {}, {}, OTHERS, true],
  // hints
  ["DifferentHostFilter", { ...hint("different_host", "s1"), hinted_hosts: { s1: "h" } }, {}, {}, false],
  ["DifferentHostFilter", { ...hint("different_host", "s1"), hinted_hosts: { s1: "other" } }, {}, {}, true],
  ["DifferentHostFilter", { ...hint("different_host", "s1"), hinted_hosts: { s1: null } }, {}, {}, true],
  ["SameHostFilter", { ...hint("same_host", "s1", "s2"), hinted_hosts: { s1: "other", s2: "h" } }, {}, {}, true],
  ["SameHostFilter", { ...hint("same_host", "s1"), hinted_hosts: { s1: null } }, {}, {}, false],
  ["SameHostFilter", {}, {}, {}, true],
  ["SimpleCIDRAffinityFilter", {}, {}, {}, true],
  ["SimpleCIDRAffinityFilter", hint("build_near_host_ip", "10.0.0.9"), {}, {}, false],
  ["SimpleCIDRAffinityFilter", hint("build_near_host_ip", "10.0.0.9"), inventory({ host_ip: "10.0.0.200" }), {}, true],
  ["SimpleCIDRAffinityFilter", hint("build_near_host_ip", "10.0.0.9"), inventory({ host_ip: "10.0.1.1" }), {}, false],
  [
    "SimpleCIDRAffinityFilter",
    { hints: { build_near_host_ip: ["10.0.0.9"], cidr: ["/16"] } },
    inventory({ host_ip: "10.0.1.1" }),
    {},
    true,
  ],
  [
    "SimpleCIDRAffinityFilter",
    { hints: { build_near_host_ip: ["10.0.0.9"], cidr: ["/99"] } },
    inventory({ host_ip: "10.0.0.9" }),
    {},
    false,
  ],
  [
    "SimpleCIDRAffinityFilter",
    { hints: { build_near_host_ip: ["fd00::9"], cidr: ["/64"] } },
    inventory({ host_ip: "fd00::1" }),
    {},
    true,
  ],
  [
    "SimpleCIDRAffinityFilter",
    { hints: { build_near_host_ip: ["fd00::9"], cidr: ["/64"] } },
    inventory({ host_ip: "10.0.0.1" }),
    {},
    false,
  ],
  ["JsonFilter", {}, {}, {}, true],
  ["JsonFilter", query([">=", "$free_ram_mb", 8192]), {}, {}, true],
  ["JsonFilter", query([">=", "$free_ram_mb", 8193]), {}, {}, false],
  ["JsonFilter", query(["and", ["=", "$host", "h"], ["not", ["<", "$vcpus_total", 4]]]), {}, {}, true],
  ["JsonFilter", query(["or", ["=", "$host", "x"], ["in", "$host", "a", "h"]]), {}, {}, true],
  ["JsonFilter", query(["<=", "$num_io_ops", 0]), { io_ops: 1 }, {}, false],
  ["JsonFilter", query([]), {}, {}, true],
  ["JsonFilter", query(["=", "$nothing.like.it", 1]), {}, {}, false],
  ["JsonFilter", query([">", "$host", 1]), {}, {}, false],
  ["JsonFilter", query(["=", 1]), {}, {}, false],
  ["JsonFilter", query(["toString"]), {}, {}, false],
  ["JsonFilter", hint("query", "not json"), {}, {}, false],
  ["JsonFilter", query(nested(30)), {}, {}, true],
  ["JsonFilter", query(nested(40)), {}, {}, false],
  ["MetricsFilter", {}, {}, {}, true],
  ["MetricsFilter", {}, {}, METRIC, false],
  ["MetricsFilter", {}, inventory({ metrics: { cpu: 0 } }), METRIC, true],
  // aggregates
  ["AggregateInstanceExtraSpecsFilter", specs({ ssd: "true" }), inAggregate({ ssd: "true" }), {}, true],
  ["AggregateInstanceExtraSpecsFilter", specs({ ssd: "true" }), {}, {}, false],
  [
    "AggregateInstanceExtraSpecsFilter",
    specs({ "aggregate_instance_extra_specs:rack": "b" }),
    inAggregate({ rack: "a, b" }),
    {},
    true,
  ],
  [
    "AggregateInstanceExtraSpecsFilter",
    specs({ "aggregate_instance_extra_specs:cpus": ">= 8" }),
    inAggregate({ cpus: "4" }),
    {},
    false,
  ],
  ["AggregateInstanceExtraSpecsFilter", specs({ "hw:anything": "1" }), {}, {}, true],
  ["AggregateImagePropertiesIsolation", image({ os_distro: "bsd" }), inAggregate({ os_distro: "bsd" }), {}, true],
  [
    "AggregateImagePropertiesIsolation",
    image({ os_distro: "linux" }),
    inAggregate({ os_distro: "bsd, hurd" }),
    {},
    false,
  ],
  ["AggregateImagePropertiesIsolation", image({ os_distro: "linux" }), {}, {}, true],
  [
    "AggregateImagePropertiesIsolation",
    image({ os_distro: "linux" }),
    inAggregate({ os_distro: "bsd" }),
    { AGGREGATE_IMAGE_PROPERTIES_ISOLATION_NAMESPACE: "own" },
    true,
  ],
  ["AggregateMultiTenancyIsolation", {}, inAggregate({ filter_tenant_id: "p" }), {}, true],
  ["AggregateMultiTenancyIsolation", {}, inAggregate({ filter_tenant_id: "q" }), {}, false],
  ["AggregateMultiTenancyIsolation", {}, inAggregate({ filter_tenant_id: "q", filter_tenant_id2: "r, p" }), {}, true],
  ["AggregateMultiTenancyIsolation", {}, inAggregate({ ssd: "true" }), {}, true],
  ["AggregateTypeAffinityFilter", {}, inAggregate({ instance_type: "g, f" }), {}, true],
  ["AggregateTypeAffinityFilter", {}, inAggregate({ instance_type: "g" }), {}, false],
  ["AggregateTypeAffinityFilter", {}, {}, {}, true],
  // what no host here has
  ["NUMATopologyFilter", specs({ "hw:numa_nodes": "2" }), {}, {}, false],
  ["NUMATopologyFilter", specs({ "hw:cpu_policy": "dedicated" }), {}, {}, false],
  ["NUMATopologyFilter", specs({ "hw:cpu_policy": "shared" }), {}, {}, true],
  ["NUMATopologyFilter", image({ hw_mem_page_size: "large" }), {}, {}, false],
  ["PciPassthroughFilter", specs({ "pci_passthrough:alias": "gpu:1" }), {}, {}, false],
  ["PciPassthroughFilter", {}, {}, {}, true],
  // what Placement stands for
  ["placement: NUMA", specs({ "hw:numa_nodes": "2" }), {}, {}, false],
  ["placement: devices", specs({ "pci_passthrough:alias": "gpu:1" }), {}, {}, false],
  ["placement: resources", { vcpus: 17 }, {}, {}, false],
  ["placement: resources", { disk_gb: 101 }, {}, {}, false],
  ["placement: resources", {}, {}, {}, true],
  ["placement: resource classes and traits", specs({ "resources:CUSTOM_GOLD": "1" }), {}, {}, false],
  ["placement: resource classes and traits", specs({ "trait:CUSTOM_FAST": "required" }), {}, {}, false],
  [
    "placement: resource classes and traits",
    specs({ "trait:CUSTOM_FAST": "required" }),
    inAggregate({ "trait:CUSTOM_FAST": "required" }),
    {},
    true,
  ],
  ["placement: resource classes and traits", specs({ "trait:CUSTOM_FAST": "forbidden" }), {}, {}, true],
  ["placement: tenant aggregates", {}, inAggregate({ filter_tenant_id: "q" }), {}, true],
])("%s, asked %j, of %j, with %j", (name, spec, host, change, passes) => {
  it(passes ? "passes" : "does not pass, and says why", () => {
    const reason = refusal(name, spec, host, change);
    if (passes) expect(reason).toBeNull();
    else expect(reason).toMatch(/\w/);
  });
});

describe("tenant and isolated aggregates", () => {
  const tenants = (host: Partial<CandidateHost>, has_aggregate: boolean, change = {}) => {
    const on = { LIMIT_TENANTS_TO_PLACEMENT_AGGREGATE: true, ...change };
    return refusal("placement: tenant aggregates", { has_aggregate }, host, on);
  };
  const OURS = inAggregate({ filter_tenant_id2: "q, p" });
  it("hold those whom they name, and others only where everybody must be named", () => {
    expect(tenants(OURS, true)).toBeNull();
    expect(tenants({}, true)).toMatch(/none of its aggregates/);
    expect(tenants({}, false)).toBeNull();
    expect(tenants(OURS, false)).toBeNull();
    expect(tenants({}, false, { PLACEMENT_AGGREGATE_REQUIRED_FOR_TENANTS: true })).toMatch(/none of its aggregates/);
    expect(tenants({}, true, { LIMIT_TENANTS_TO_PLACEMENT_AGGREGATE: false })).toBeNull();
  });
  it("that require traits take only who requires them", () => {
    const isolated = (extra: Record<string, string>) =>
      refusal("placement: isolated aggregates", specs(extra), inAggregate({ "trait:CUSTOM_W": "required" }), {
        ENABLE_ISOLATED_AGGREGATE_FILTERING: true,
      });
    expect(isolated({})).toMatch(/trait:CUSTOM_W/);
    expect(isolated({ "trait:CUSTOM_W": "required" })).toBeNull();
  });
});
