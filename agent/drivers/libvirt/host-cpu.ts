/** The host's processors, of its capabilities (https://libvirt.org/formatcaps.html). Pure. */
import { type CpuInfo, MAX_CPU_FEATURES } from "../../../functions/protocol/resources.ts";
import type { Element } from "./xml.ts";

const HOST_CPU = "capabilities/host/cpu";
const MAX_NAME_CHARS = 64;

/** nova: the libvirt driver's _get_cpu_info; of a hypervisor that names no architecture, nothing. */
export function hostCpu(elements: readonly Element[]): CpuInfo | undefined {
  const at = (path: string) => elements.filter((element) => element.path === path);
  const text = (path: string) => (at(path)[0]?.text ?? "").slice(0, MAX_NAME_CHARS);
  const arch = text(`${HOST_CPU}/arch`);
  if (arch === "") return undefined;
  const topology = at(`${HOST_CPU}/topology`)[0]?.attributes ?? {};
  const cells = at("capabilities/host/topology/cells")[0]?.attributes ?? {};
  const names = at(`${HOST_CPU}/feature`).map(({ attributes }) => (attributes.name ?? "").slice(0, MAX_NAME_CHARS));
  return {
    vendor: text(`${HOST_CPU}/vendor`),
    model: text(`${HOST_CPU}/model`),
    arch,
    features: [...new Set(names)].filter((name) => name !== "").slice(0, MAX_CPU_FEATURES),
    topology: {
      cells: count(cells.num),
      sockets: count(topology.sockets),
      cores: count(topology.cores),
      threads: count(topology.threads),
    },
  };
}

/** 1 where libvirt does not say. */
const count = (text = "1") => (/^\d{1,6}$/.test(text) ? Number(text) : 1);
