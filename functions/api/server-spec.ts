/** From the body of POST /servers to what is to be built: names, image, flavor, zone (nova/compute/api.py create). */
import type { Context } from "hono";
import type { Flavor } from "../compute/flavor.ts";
import type { Given, Secrets } from "../conductor/given.ts";
import { hardwareOf, isTrue } from "../conductor/hardware.ts";
import type { CreateSpec } from "../conductor/record.ts";
import { visibleTo } from "../image/image.ts";
import type { ImageRef } from "../protocol/methods.ts";
import type { AppEnv } from "./app-env.ts";
import { emptyDisksOf } from "./block-devices.ts";
import { badRequest, forbidden } from "./fault.ts";
import type { CreateBody, SchedulerHints } from "./schema/server.ts";
import { getsConfigDrive, givenOf } from "./server-given.ts";
import { placeOf } from "./server-placement.ts";

const GIB = 1024 ** 3;

/** Servers made by one request: each is a call out of the Worker, which may make a thousand. */
const MAX_SERVERS = 500;

/** An image to boot, with what it asks of a flavor (MiB of memory, GiB of disk), and what else its owner says of it. */
type BootImage = { ref: ImageRef; min_ram: number; min_disk: number; properties: Record<string, string> };

/** A spec for each server asked for, and what each is given; 400 or 403 where the body asks for what is not there. */
export async function specsOf(
  c: Context<AppEnv>,
  body: CreateBody,
): Promise<{ specs: CreateSpec[]; given: Given; secrets: Secrets }> {
  const { server } = body;
  refuseWhatIsNotHere(body);
  const count = countOf(server);
  const [flavor, image, { given, secrets }] = await Promise.all([
    flavorOf(c, server.flavorRef),
    imageOf(c, server.imageRef),
    givenOf(c, server),
  ]);
  checkFits(flavor, image);
  const place = await placeOf(c, body);
  const hints = body["os:scheduler_hints"] ?? body["OS-SCH-HNT:scheduler_hints"] ?? {};
  const { actor } = c.var;
  const shared = {
    project_id: actor.project_id,
    user_id: actor.user_id,
    description: server.description ?? (c.var.minor < 19 ? server.name : null),
    metadata: server.metadata ?? {},
    tags: server.tags ?? [],
    flavor,
    image: image.ref,
    ...emptyDisksOf(server, flavor),
    image_properties: schedulingProperties(image.properties),
    ...place,
    key_name: given.keypair?.name ?? null,
    access_ip_v4: server.accessIPv4 ?? "",
    access_ip_v6: server.accessIPv6 ?? "",
    config_drive: getsConfigDrive(c, server, image.properties),
    server_group: hints.group ?? null,
    scheduler_hints: hintsOf(hints),
    disk_config: server["OS-DCF:diskConfig"] ?? "MANUAL",
    reservation_id: `r-${crypto.randomUUID().slice(0, 8)}`,
    created_at: new Date().toISOString(),
  } as const;
  const specs = Array.from({ length: count }, (_, index) => {
    const uuid = crypto.randomUUID();
    const display_name = count === 1 ? server.name : `${server.name}-${index + 1}`;
    const hostname = server.hostname ?? hostnameOf(display_name, uuid);
    return { ...shared, uuid, display_name, hostname, launch_index: index };
  });
  return { specs, given, secrets };
}

/** A host name from a display name (nova/utils.py sanitize_hostname). */
export function hostnameOf(name: string, uuid: string): string {
  const plain = name
    .replace(/[^\u0020-\u00ff]/g, "")
    .slice(0, 63)
    .replace(/[ _.]/g, "-")
    .replace(/[^\w-]+/g, "")
    .toLowerCase()
    .replace(/^[.-]+|[.-]+$/g, "");
  return plain === "" ? `Server-${uuid}` : plain;
}

/** What needs a service, or a part of Nova, that this deployment does not have: said, not dropped. */
function refuseWhatIsNotHere({ server }: CreateBody): void {
  if (Array.isArray(server.networks) && server.networks.length > 0) {
    throw badRequest("There is no network service here: ask for networks none (--nic none).");
  }
  if (server.networks === "auto") {
    throw badRequest("Unable to automatically allocate a network: there is no network service here.");
  }
  if (server.block_device_mapping?.length) throw badRequest("There is no volume service here.");
  if (server.trusted_image_certificates) {
    throw badRequest("Image signatures cannot be verified here: no image has one, so no certificate can be asked for.");
  }
}

function countOf(server: CreateBody["server"]): number {
  const min = server.min_count ?? 1;
  const max = server.max_count ?? min;
  if (min > max) throw badRequest("min_count must be <= max_count");
  if (max > 1 && server.hostname !== undefined) {
    throw badRequest("Unable to allocate a single hostname to multiple instances");
  }
  if (min > MAX_SERVERS)
    throw badRequest(`min_count must be at most ${MAX_SERVERS}: ask for the rest in another request`);
  // What is beyond is cut as a quota cuts it.
  return Math.min(max, MAX_SERVERS);
}

async function flavorOf(c: Context<AppEnv>, ref: string): Promise<Flavor> {
  const id = ref.split("/").at(-1) ?? ref;
  const flavor = await c.env.FLAVORS.getByName("default").get(id, c.var.actor);
  if (flavor === null) throw badRequest(`Flavor ${id} could not be found.`);
  if (flavor.disk === 0 && !c.var.actor.is_admin) {
    throw forbidden("Only volume-backed servers are allowed for flavors with zero disk.");
  }
  return flavor;
}

/** What the scheduler is told, without what Nova keeps for itself. Whether there is the group, the project says. */
function hintsOf(hints: SchedulerHints): Record<string, string[]> {
  const told = Object.entries(hints).filter(([name, value]) => !name.startsWith("_nova") && value !== undefined);
  const text = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));
  return Object.fromEntries(told.map(([name, value]) => [name, [value].flat().map(text)]));
}

/** The image to boot from, if it is one that can be. */
export async function imageOf(c: Context<AppEnv>, id: string | undefined): Promise<BootImage> {
  if (!id) throw badRequest("Invalid imageRef provided.");
  const image = await c.env.IMAGES.getByName("default").get(id);
  if (image === null || !visibleTo(c.var.actor, image)) throw badRequest(`Image ${id} could not be found.`);
  const { disk_format, size, os_hash_value, min_ram, min_disk, properties } = image;
  if (image.status !== "active" || size === null || os_hash_value === null)
    throw badRequest(`Image ${id} is not active.`);
  if (disk_format !== "raw" && disk_format !== "qcow2" && disk_format !== "iso") {
    throw badRequest(`Image ${id} is unacceptable: disk format ${disk_format} cannot be booted here.`);
  }
  const ref = { id, disk_format, size, sha512: os_hash_value };
  const guest_agent = isTrue(properties.hw_qemu_guest_agent);
  return { ref: guest_agent ? { ...ref, guest_agent } : ref, min_ram, min_disk, properties };
}

/** Nova's own properties of an image, and their old names; the rest is between its owner and the guest. */
const OF_NOVA = /^(hw_|img_|os_|trait:)|^(architecture|hypervisor_type|hypervisor_version_requires|vm_mode)$/;

/** What an image says of the hosts it is for, and of the hardware. */
export function schedulingProperties(properties: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(properties).filter(([name]) => OF_NOVA.test(name)));
}

/** nova: _validate_flavor_image. A flavor without a disk takes the image's size. */
export function checkFits(flavor: Flavor, { ref, min_ram, min_disk, properties }: BootImage): void {
  const hardware = hardwareOf({ properties, extra_specs: flavor.extra_specs, vcpus: flavor.vcpus });
  if (!hardware.ok) throw badRequest(hardware.error);
  if (flavor.ram < min_ram) throw badRequest("Flavor's memory is too small for requested image.");
  const disk = flavor.disk * GIB;
  if (disk === 0) return;
  if (ref.size > disk) {
    throw badRequest(
      `Flavor's disk is too small for requested image. Flavor disk is ${disk} bytes, image is ${ref.size} bytes.`,
    );
  }
  if (min_disk * GIB > disk) {
    throw badRequest(
      "Flavor's disk is smaller than the minimum size specified in image metadata. " +
        `Flavor disk is ${disk} bytes, minimum size is ${min_disk * GIB} bytes.`,
    );
  }
}
