/** What the host has (nova/virt/libvirt/driver.py: get_available_resource). */
import { statfs } from "node:fs/promises";
import type { Inventory } from "../../../functions/protocol/guest.ts";
import { type HostCapabilities, supportedInstances } from "./capabilities.ts";
import type { DriverName } from "./endpoint.ts";
import type { Libvirt } from "./procedures.ts";

const GIB = 2 ** 30;

/** The disk is the whole of the file system that `folder` is on. */
export async function inventoryOf(
  libvirt: Libvirt,
  { driver, capabilities, folder }: { driver: DriverName; capabilities: HostCapabilities; folder: string },
): Promise<Inventory> {
  const [node, hostname, type, version, disk] = await Promise.all([
    libvirt.nodeInfo(),
    libvirt.hostname(),
    libvirt.type(),
    libvirt.version(),
    statfs(folder),
  ]);
  return {
    hypervisor_hostname: hostname,
    hypervisor_type: type,
    hypervisor_version: version,
    vcpus: node.cpus,
    memory_mb: Math.floor(node.memoryKib / 1024),
    local_gb: Math.floor((disk.blocks * disk.bsize) / GIB),
    supported_instances: supportedInstances(driver, capabilities),
    ...(capabilities.cpu ? { cpu_info: capabilities.cpu } : {}),
  };
}
