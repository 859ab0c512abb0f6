/** What a host chooses of its guests, by its options and by what it can. */
import { type DriverContext, DriverError } from "../driver.ts";
import type { Place } from "./build.ts";
import type { HostCapabilities } from "./capabilities.ts";
import type { Endpoint } from "./endpoint.ts";
import type { VirtType } from "./hypervisor.ts";
import type { LibvirtOptions } from "./libvirt-driver.ts";
import { kvmUsable, shareBase } from "./reach.ts";

/** Guests are built for this architecture alone. */
const ARCHITECTURE = "x86_64=";
const MACHINE = "q35";

/** Rejects with NotSupported where no guest can be built. */
async function virtTypeOf(
  { driver }: Endpoint,
  asked: LibvirtOptions["virt_type"],
  host: HostCapabilities,
): Promise<VirtType> {
  if (driver === "lxc") {
    throw new DriverError("NotSupported", "this host's libvirt runs containers (lxc), which boot no disk image");
  }
  if (driver !== "qemu") return driver;
  if (asked !== "auto") return asked;
  return host.kvm && (await kvmUsable(host.qemuUser)) ? "kvm" : "qemu";
}

export type Host = {
  ctx: Pick<DriverContext, "image" | "log">;
  endpoint: Endpoint;
  options: LibvirtOptions;
  capabilities: HostCapabilities;
};

/** Where a guest is made on this host. An image that is still to come is waited for until the signal. */
export async function placeOf(
  { ctx, endpoint, options, capabilities }: Host,
  { uuid, instances }: Pick<Place, "uuid" | "instances">,
  signal: AbortSignal,
): Promise<Place> {
  const machine = options.hw_machine_type.findLast((it) => it.startsWith(ARCHITECTURE));
  const { qemuUser } = capabilities;
  return {
    ...{ uuid, instances, folder: instances.folder(uuid) },
    virtType: await virtTypeOf(endpoint, options.virt_type, capabilities),
    host: { machine: machine?.slice(ARCHITECTURE.length) ?? MACHINE, cpu: options, network: options.network },
    limitsCpus: !endpoint.session,
    relabels: qemuUser !== null,
    log: ctx.log,
    async image(ref) {
      const path = await ctx.image(ref, signal);
      if (qemuUser) await shareBase(path, qemuUser);
      return path;
    },
  };
}
