/** The extra specs that Nova knows, and what may stand in them (nova/api/validation/extra_specs/). Pure. */
import { boolean } from "./schema/fields.ts";

/** What is wrong with a value, as a sentence; null when it is right. */
type Check = (value: string) => string | null;

const text: Check = () => null;

const flag: Check = (value) =>
  boolean.safeParse(value.trim()).success ? null : `Validation failed; '${value}' is not a valid boolean-like value.`;

const integer =
  (least = Number.NEGATIVE_INFINITY): Check =>
  (value) => {
    if (!/^\s*[-+]?\d+\s*$/.test(value)) return `Validation failed; '${value}' is not a valid integer value.`;
    return Number(value) >= least ? null : `Validation failed; '${value}' is less than the min value of '${least}'.`;
  };

const oneOf =
  (...values: readonly string[]): Check =>
  (value) =>
    values.includes(value) ? null : `Validation failed; '${value}' is not one of: ${values.join(", ")}.`;

const format =
  (pattern: RegExp): Check =>
  (value) =>
    pattern.test(value) ? null : `Validation failed; '${value}' is not of the format '${pattern.source}'.`;

/** CPUs and ranges of them, some taken out: `0-7,^3`. */
const cpus = format(/^\^?\d+(?:-\d+|,\^?\d+)*$/);

const each = (names: string, check: Check) => Object.fromEntries(names.split(" ").map((name) => [name, check]));

/** By namespace and name. */
const NAMED: Record<string, Readonly<Record<string, Check>>> = {
  "": { hide_hypervisor_id: flag, group_policy: oneOf("isolate", "none") },
  accel: { device_profile: text },
  capabilities: each(
    "id uuid service_id host vcpus memory_mb local_gb vcpus_used memory_mb_used local_gb_used hypervisor_type " +
      "hypervisor_version hypervisor_hostname free_ram_mb free_disk_gb current_workload running_vms " +
      "disk_available_least host_ip mapped cpu_allocation_ratio ram_allocation_ratio disk_allocation_ratio " +
      "total_usable_ram_mb total_usable_disk_gb disk_mb_used free_disk_mb vcpus_total num_instances num_io_ops " +
      "failed_builds aggregates cell_uuid updated",
    text,
  ),
  hw: {
    ...each("cpu_realtime hide_hypervisor_id boot_menu mem_encryption pmu vif_multiqueue_enabled locked_memory", flag),
    ...each("virtio_packed_ring ephemeral_encryption", flag),
    ...each("cpu_realtime_mask cpu_dedicated_mask", cpus),
    ...each("numa_nodes cpu_sockets cpu_cores cpu_threads max_cpu_sockets max_cpu_cores max_cpu_threads", integer(1)),
    // By these names Nova itself reads them (nova/virt/hardware.py), and its documentation tells of them.
    ...each("cpu_max_sockets cpu_max_cores cpu_max_threads", integer(1)),
    cpu_policy: oneOf("dedicated", "shared", "mixed"),
    cpu_thread_policy: oneOf("prefer", "isolate", "require"),
    emulator_threads_policy: oneOf("isolate", "share"),
    ephemeral_encryption_format: oneOf("luks"),
    maxphysaddr_bits: integer(0),
    maxphysaddr_mode: oneOf("passthrough", "emulate"),
    mem_encryption_model: oneOf("amd-sev", "amd-sev-es"),
    mem_page_size: format(/^(large|small|any|\d+([kKMGT]i?)?(b|bit|B)?)$/),
    pci_numa_affinity_policy: oneOf("required", "preferred", "legacy", "socket"),
    pmem: format(/^[a-zA-Z0-9_]+(?:,[a-zA-Z0-9_]+)*,?$/),
    serial_port_count: integer(0),
    tpm_model: oneOf("tpm-tis", "tpm-crb"),
    tpm_secret_security: oneOf("user", "host", "deployment"),
    tpm_version: oneOf("1.2", "2.0"),
    viommu_model: oneOf("intel", "smmuv3", "virtio", "auto"),
    watchdog_action: oneOf("none", "pause", "poweroff", "reset", "disabled"),
  },
  hw_rng: { allowed: flag, rate_bytes: integer(0), rate_period: integer(0) },
  hw_video: { ram_max_mb: integer(0) },
  os: { secure_boot: oneOf("disabled", "required") },
  pci_passthrough: { alias: format(/^[^:]+:\d+(?:\s*,[^:]+:\d+)*$/) },
  quota: {
    ...Object.fromEntries(
      ["cpu", "memory", "disk_io", "vif"].flatMap((of) => [
        ...["limit", "reservation", "shares_share"].map((key) => [`${of}_${key}`, integer()] as const),
        [`${of}_shares_level`, text] as const,
      ]),
    ),
    ...each("cpu_shares cpu_period cpu_quota", integer(0)),
    ...each("disk_read_bytes_sec disk_read_iops_sec disk_write_bytes_sec disk_write_iops_sec", integer(0)),
    ...each("disk_total_bytes_sec disk_total_iops_sec", integer(0)),
    ...each("vif_inbound_average vif_inbound_peak vif_inbound_burst", integer(0)),
    ...each("vif_outbound_average vif_outbound_peak vif_outbound_burst", integer(0)),
  },
  vmware: { hw_version: text, storage_policy: text },
};

/** os_resource_classes.STANDARDS. */
const RESOURCE_CLASSES = [
  "VCPU|MEMORY_MB|DISK_GB|PCI_DEVICE|SRIOV_NET_VF|NUMA_SOCKET|NUMA_CORE|NUMA_THREAD|NUMA_MEMORY_MB|IPV4_ADDRESS|VGPU",
  "VGPU_DISPLAY_HEAD|NET_BW_EGR_KILOBIT_PER_SEC|NET_BW_IGR_KILOBIT_PER_SEC|PCPU|MEM_ENCRYPTION_CONTEXT|FPGA|PGPU",
  "NET_PACKET_RATE_KILOPACKET_PER_SEC|NET_PACKET_RATE_(EGR|IGR)_KILOPACKET_PER_SEC|CUSTOM_[A-Z0-9_]+",
].join("|");

/** Those whose names have a part of the operator's choice. */
const SHAPED: readonly { name: RegExp; check: Check }[] = [
  { name: /^aggregate_instance_extra_specs:.+$/, check: text },
  {
    name: /^capabilities:(cpu_info|metrics|stats|numa_topology|supported_hv_specs|pci_device_pools|nodename|pci_stats|supported_instances|limits|instances)(:\w+)*$/,
    check: text,
  },
  { name: /^hw:numa_cpus\.\d+$/, check: cpus },
  { name: /^hw:numa_mem\.\d+$/, check: integer(1) },
  { name: new RegExp(`^resources([a-zA-Z0-9_-]{1,64})?:(${RESOURCE_CLASSES})$`), check: integer() },
  // A trait is known here by its namespace in os-traits: the whole list grows with every kind of hardware.
  {
    name: /^trait([a-zA-Z0-9_-]{1,64})?:(COMPUTE|CUSTOM|HW|MISC|OWNER|STORAGE)_[A-Z0-9_]+$/,
    check: oneOf("required", "forbidden"),
  },
];

const NAMESPACE = /^(aggregate_instance_extra_specs|resources([a-zA-Z0-9_-]{1,64})?|trait([a-zA-Z0-9_-]{1,64})?)$/;

/** What is wrong with an extra spec, as Nova says it; null when it is right, or in a namespace that is not Nova's. */
export function wrongSpec(name: string, value: string): string | null {
  const colon = name.indexOf(":");
  const namespace = colon === -1 ? "" : name.slice(0, colon);
  const known = Object.hasOwn(NAMED, namespace) ? NAMED[namespace] : undefined;
  const key = name.slice(colon + 1);
  const check = known && Object.hasOwn(known, key) ? known[key] : SHAPED.find((row) => row.name.test(name))?.check;
  if (check) return check(value);
  if (namespace === "" || (known === undefined && !NAMESPACE.test(namespace))) return null;
  return `Validation failed; extra spec '${name}' does not appear to be a valid extra spec.`;
}
