/** Each weigher of the box: what it measures. */
import { env } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { config } from "../../functions/config.ts";
import type { CandidateHost, RequestSpec } from "../../functions/scheduler/host-state.ts";
import { ALL_WEIGHERS } from "../../functions/scheduler/weighers/all.ts";
import { candidate, requestOf } from "./candidates.ts";
import { INVENTORY } from "./scripted-agent.ts";

const options = config(env);
const byName = (name: string) => ALL_WEIGHERS.find((one) => one.name === name)!;

const group = (policy: "soft-affinity" | "soft-anti-affinity") => ({
  group: { policy, max_server_per_host: 1, hosts: { h: 2 } },
});
const used = { used: { vcpus: 6, memory_mb: 1024, disk_gb: 10, instances: 3 } };
const image = { image: { id: "i", properties: { os_distro: "bsd", hw_disk_bus: "virtio" } } };
const neighbours = { image_properties: { "os_distro=bsd": 2, "hw_disk_bus=virtio": 1, "os_distro=linux": 5 } };

it.each<[string, Partial<RequestSpec>, Partial<CandidateHost>, number | null]>([
  ["RAMWeigher", {}, used, 7168],
  ["CPUWeigher", {}, used, 10],
  ["DiskWeigher", {}, used, 90 * 1024],
  ["IoOpsWeigher", {}, { io_ops: 3 }, 3],
  ["NumInstancesWeigher", {}, used, 3],
  ["HypervisorVersionWeigher", {}, {}, 1],
  ["BuildFailureWeigher", {}, { failed_builds: 2 }, -2],
  ["ServerGroupSoftAffinityWeigher", group("soft-affinity"), {}, 2],
  ["ServerGroupSoftAffinityWeigher", group("soft-anti-affinity"), {}, null],
  ["ServerGroupSoftAntiAffinityWeigher", group("soft-anti-affinity"), {}, -2],
  ["ServerGroupSoftAntiAffinityWeigher", group("soft-anti-affinity"), { host: "empty" }, -0],
  ["ImagePropertiesWeigher", image, neighbours, 3],
  ["ImagePropertiesWeigher", image, {}, 0],
  ["ImagePropertiesWeigher", {}, neighbours, null],
  ["MetricsWeigher", {}, {}, null],
  ["PCIWeigher", {}, {}, null],
  ["CrossCellWeigher", {}, {}, null],
])("%s, asked %j, gives %j the weight %s", (name, spec, host, weight) => {
  const measure = byName(name).ask(requestOf(spec), options);
  expect(measure === null ? null : measure(candidate(host))).toBe(weight);
});

describe("settings", () => {
  it("say how much each image property counts", () => {
    const setting = { ...options, IMAGE_PROPS_WEIGHT_SETTING: [{ name: "os_distro", ratio: 1.5 }] };
    expect(byName("ImagePropertiesWeigher").ask(requestOf(image), setting)?.(candidate(neighbours))).toBe(3);
  });
  it("say which metrics count, and what a host without them weighs", () => {
    const METRICS_WEIGHT_SETTING = [
      { name: "cpu", ratio: -1 },
      { name: "net", ratio: 0.5 },
    ];
    const setting = { ...options, METRICS_WEIGHT_SETTING, METRICS_REQUIRED: false };
    const measure = byName("MetricsWeigher").ask(requestOf(), setting);
    const metrics = (all: Record<string, number>) => candidate({ inventory: { ...INVENTORY, metrics: all } });
    expect(measure?.(metrics({ cpu: 10, net: 4, other: 9 }))).toBe(-8);
    expect(measure?.(metrics({ cpu: 10 }))).toBe(-10_000);
  });
  it("have Nova's names for aggregates and Nova's defaults", () => {
    const all = ALL_WEIGHERS.map((one) => [one.option, one.multiplier(options)]);
    expect(Object.fromEntries(all)).toEqual({
      ram_weight_multiplier: 1,
      cpu_weight_multiplier: 1,
      disk_weight_multiplier: 1,
      io_ops_weight_multiplier: -1,
      num_instances_weight_multiplier: 0,
      hypervisor_version_weight_multiplier: 1,
      image_props_weight_multiplier: 0,
      pci_weight_multiplier: 1,
      soft_affinity_weight_multiplier: 1,
      soft_anti_affinity_weight_multiplier: 1,
      build_failure_weight_multiplier: 1_000_000,
      cross_cell_move_weight_multiplier: 1_000_000,
      metrics_weight_multiplier: 1,
    });
  });
});
