/** What no host here has to give: who asks for it is told so, and finds none. */
import type { RequestSpec } from "../host-state.ts";
import type { Filter } from "./filter.ts";

type Asked = { spec?: RegExp; property?: RegExp; value?: RegExp };

const NUMA: readonly Asked[] = [
  { spec: /^hw:(numa_nodes|numa_cpus\.\d+|numa_mem\.\d+|mem_page_size|cpu_realtime|cpu_dedicated_mask|pmem)$/ },
  { property: /^hw_(numa_nodes|numa_cpus\.\d+|numa_mem\.\d+|mem_page_size|cpu_realtime)$/ },
  { spec: /^hw:cpu_policy$/, value: /^(dedicated|mixed)$/ },
  { property: /^hw_cpu_policy$/, value: /^(dedicated|mixed)$/ },
];
const DEVICES: readonly Asked[] = [{ spec: /^pci_passthrough:alias$/ }, { spec: /^accel:device_profile$/ }];

/** The first extra spec or image property that asks for one of these; null when none does. */
function askedFor(all: readonly Asked[], { flavor, image }: RequestSpec): string | null {
  const holds = (items: Record<string, string>, name: RegExp | undefined, value = /./) =>
    Object.entries(items).find(([key, text]) => name?.test(key) && value.test(text))?.[0];
  for (const { spec, property, value } of all) {
    const found = holds(flavor.extra_specs, spec, value) ?? holds(image.properties, property, value);
    if (found !== undefined) return found;
  }
  return null;
}

const absent = (name: string, all: readonly Asked[], what: string): Filter => ({
  name,
  ask(spec) {
    const asked = askedFor(all, spec);
    return asked === null ? null : () => `${asked} asks for ${what}, which no host here offers`;
  },
});

/** nova/scheduler/filters/numa_topology_filter.py */
export const NUMATopologyFilter = absent("NUMATopologyFilter", NUMA, "a NUMA topology, pinned CPUs or huge pages");
/** nova/scheduler/filters/pci_passthrough_filter.py */
export const PciPassthroughFilter = absent("PciPassthroughFilter", DEVICES, "devices of the host");
