/** What a running guest uses of its host (nova/virt/libvirt/driver.py: get_instance_diagnostics). */
import { basename } from "node:path";
import type { Diagnostics } from "../../../functions/protocol/methods.ts";
import { DriverError } from "../driver.ts";
import { LibvirtError } from "./errors.ts";
import { CONFIG_DRIVE, RESCUE_CONFIG_DRIVE } from "./guest-folder.ts";
import { DOMAIN_STATE, type Domain, type Libvirt } from "./procedures.ts";
import { type Element, readElements } from "./xml.ts";

const KIB_PER_MIB = 1024;
const CONFIG_DRIVES = new Set([CONFIG_DRIVE, RESCUE_CONFIG_DRIVE]);

/** Rejects with InstanceInvalidState unless the guest runs. `uptime` is the edge's to know: libvirt does not tell it. */
export async function diagnosticsOf(libvirt: Libvirt, domain: Domain): Promise<Diagnostics> {
  if ((await libvirt.state(domain)) !== DOMAIN_STATE.RUNNING) {
    throw new DriverError("InstanceInvalidState", "the guest does not run");
  }
  const [info, xml] = await Promise.all([libvirt.info(domain), libvirt.xml(domain)]);
  const elements = readElements(xml);
  const disks = elements.filter(({ path }) => path === "domain/devices/disk");
  const nics = elements.filter(({ path }) => path === "domain/devices/interface/mac");
  return {
    state: "running",
    driver: "libvirt",
    hypervisor: elements[0]?.attributes.type ?? null,
    hypervisor_os: "linux",
    uptime: null,
    config_drive: elements.some(({ path, attributes }) => {
      return path === "domain/devices/disk/source" && CONFIG_DRIVES.has(basename(attributes.file ?? ""));
    }),
    num_cpus: info.vcpus,
    num_nics: nics.length,
    num_disks: disks.length,
    cpu_details: await cpus(libvirt, domain, info.vcpus),
    nic_details: nics.map(nic),
    disk_details: await Promise.all(disks.map((it) => disk(libvirt, domain, targetOf(elements, it)))),
    memory_details: {
      maximum: Math.floor(info.maxMemoryKib / KIB_PER_MIB),
      used: Math.floor(info.memoryKib / KIB_PER_MIB),
    },
  };
}

/** Without a thread for each processor, as in some modes of TCG, libvirt cannot tell them apart. */
async function cpus(libvirt: Libvirt, domain: Domain, count: number): Promise<Diagnostics["cpu_details"]> {
  const known = await libvirt.vcpus(domain, count).catch(unlessRefused);
  const vcpus = known ?? Array.from({ length: count }, (_, number) => ({ number, timeNs: null }));
  return vcpus.map(({ number, timeNs }) => ({ id: number, time: timeNs, utilisation: null }));
}

/** It is counted and not measured: of user-mode networking there are no counts. */
function nic({ attributes }: Element): Diagnostics["nic_details"][number] {
  return {
    mac_address: attributes.address ?? null,
    rx_octets: null,
    rx_errors: null,
    rx_drop: null,
    rx_packets: null,
    rx_rate: null,
    tx_octets: null,
    tx_errors: null,
    tx_drop: null,
    tx_packets: null,
    tx_rate: null,
  };
}

function targetOf(elements: readonly Element[], disk: Element): string {
  return elements.find(({ path, parent }) => parent === disk && path.endsWith("/target"))?.attributes.dev ?? "";
}

async function disk(libvirt: Libvirt, domain: Domain, target: string): Promise<Diagnostics["disk_details"][number]> {
  const stats = await libvirt.blockStats(domain, target).catch(unlessRefused);
  const told = (count: number | undefined) => (count === undefined || count < 0 ? null : count);
  return {
    read_bytes: told(stats?.readBytes),
    read_requests: told(stats?.readRequests),
    write_bytes: told(stats?.writeBytes),
    write_requests: told(stats?.writeRequests),
    errors_count: told(stats?.errors),
  };
}

/** What libvirt will not tell is unknown, and no failure. */
function unlessRefused(error: unknown): undefined {
  if (!(error instanceof LibvirtError)) throw error;
}
