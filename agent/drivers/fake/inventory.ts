/** What the fake host claims to have. */
import { hostname } from "node:os";
import type { Inventory } from "../../../functions/protocol/guest.ts";

/** Memory in MiB, disk in GiB. */
export type FakeOptions = { hostname?: string; vcpus?: number; memory_mb?: number; local_gb?: number };

/** As Nova's fake driver says "1.0" (nova/virt/fake.py). */
const HYPERVISOR_VERSION = 1000;

export function inventoryOf(options: FakeOptions): Inventory {
  const { vcpus = 16, memory_mb = 32_768, local_gb = 500 } = options;
  return {
    hypervisor_hostname: options.hostname ?? hostname(),
    hypervisor_type: "fake",
    hypervisor_version: HYPERVISOR_VERSION,
    vcpus,
    memory_mb,
    local_gb,
    supported_instances: [{ arch: "x86_64", hv_type: "fake", vm_mode: "hvm" }],
    cpu_info: {
      vendor: "Intel",
      model: "Nehalem",
      arch: "x86_64",
      features: ["pge", "clflush"],
      topology: { cells: 1, sockets: 1, cores: vcpus, threads: 1 },
    },
  };
}
