/** What a procedure filter is to know of a guest that is to come, and of this host. */
import type { ArrivalOrder } from "../driver.ts";
import type { Place } from "./build.ts";
import type { Endpoint } from "./endpoint.ts";
import { disksUri, memoryUri } from "./move-sockets.ts";
import type { AwaitedGuest } from "./procedure-filter.ts";
import type { Libvirt } from "./procedures.ts";
import { readElements } from "./xml.ts";

type Arriving = ArrivalOrder & { base: string; endpoint: Endpoint; sockets: string };

export async function awaitedGuest(libvirt: Libvirt, place: Place, arriving: Arriving): Promise<AwaitedGuest> {
  const { uuid, folder, virtType, relabels, host } = place;
  const { spec, data, base, endpoint, sockets, block_migration } = arriving;
  const capabilities = readElements(await libvirt.migration.domainCapabilities({ machine: data.machine, virtType }));
  const texts = (path: string) => capabilities.filter((it) => it.path === path).map(({ text }) => text);
  return {
    uri: endpoint.uri,
    memoryUri: memoryUri(sockets),
    disksUri: disksUri(sockets),
    copiesDisks: block_migration,
    ...{ uuid, folder, virtType, relabels },
    name: spec.instance_name,
    vcpus: spec.vcpus,
    memoryMib: spec.memory_mb,
    base: { path: base, format: spec.image.disk_format },
    network: host.network,
    emulator: texts("domainCapabilities/path")[0] ?? "",
    loaders: texts("domainCapabilities/os/loader/value"),
  };
}
