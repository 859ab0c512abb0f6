/** Which extra specs Nova takes from 2.86 on (nova/api/validation/extra_specs). */
import { expect, it } from "vitest";
import { wrongSpec } from "../../functions/api/extra-specs.ts";

it.each([
  ["anything", "at all"],
  ["mine:key", "at all"],
  ["hide_hypervisor_id", "yes"],
  ["group_policy", "isolate"],
  ["accel:device_profile", "fpga"],
  ["aggregate_instance_extra_specs:ssd", "true"],
  ["capabilities:vcpus", ">= 6"],
  ["capabilities:cpu_info:features", "<in> aes"],
  ["hw:cpu_policy", "dedicated"],
  ["hw:cpu_realtime_mask", "^0-1,3"],
  ["hw:mem_page_size", "2Mib"],
  ["hw:mem_page_size", "large"],
  ["hw:numa_cpus.0", "0-3,^2"],
  ["hw:numa_mem.1", "1024"],
  ["hw:pmem", "a,b"],
  ["hw_rng:allowed", "True"],
  ["hw_video:ram_max_mb", "64"],
  ["os:secure_boot", "required"],
  ["pci_passthrough:alias", "gpu:1, nic:2"],
  ["quota:cpu_shares", "1024"],
  ["quota:disk_read_iops_sec", "0"],
  ["quota:memory_limit", "-1"],
  ["quota:vif_shares_level", "high"],
  ["resources:VCPU", "2"],
  ["resources1:CUSTOM_GOLD", "1"],
  ["trait:HW_CPU_X86_AVX", "required"],
  ["trait_a:CUSTOM_GOLD", "forbidden"],
  ["vmware:hw_version", "vmx-13"],
])("%s = %s is right", (name, value) => {
  expect(wrongSpec(name, value)).toBeNull();
});

it.each([
  ["hide_hypervisor_id", "maybe", "'maybe' is not a valid boolean-like value."],
  ["group_policy", "x", "'x' is not one of: isolate, none."],
  ["capabilities:color", "red", "extra spec 'capabilities:color' does not appear to be a valid extra spec."],
  ["hw:cpu_policies", "shared", "extra spec 'hw:cpu_policies' does not appear to be a valid extra spec."],
  ["hw:constructor", "x", "extra spec 'hw:constructor' does not appear to be a valid extra spec."],
  ["hw:cpu_policy", "x", "'x' is not one of: dedicated, shared, mixed."],
  ["hw:cpu_sockets", "0", "'0' is less than the min value of '1'."],
  ["hw:cpu_sockets", "two", "'two' is not a valid integer value."],
  ["hw:numa_cpus.a", "0", "extra spec 'hw:numa_cpus.a' does not appear to be a valid extra spec."],
  ["hw:cpu_realtime_mask", `0${",1-1".repeat(60)}x`, "is not of the format"],
  ["quota:cpu_shares", "-1", "'-1' is less than the min value of '0'."],
  ["quota:cpu", "1", "extra spec 'quota:cpu' does not appear to be a valid extra spec."],
  ["resources:GOLD", "1", "extra spec 'resources:GOLD' does not appear to be a valid extra spec."],
  ["resources:VCPU", "x", "'x' is not a valid integer value."],
  ["trait:GOLD", "required", "extra spec 'trait:GOLD' does not appear to be a valid extra spec."],
  ["trait:CUSTOM_GOLD", "yes", "'yes' is not one of: required, forbidden."],
])("%s = %s is wrong", (name, value, why) => {
  expect(wrongSpec(name, value)).toContain(why);
});
