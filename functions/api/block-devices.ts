/** The disks that a server is asked with beside its image's: block_device_mapping_v2 (nova/compute/api.py _validate_bdm). */
import type { Flavor } from "../compute/flavor.ts";
import { DEFAULT_EPHEMERAL_FORMAT, EPHEMERAL_FORMATS, type Ephemeral } from "../protocol/methods.ts";
import { badRequest } from "./fault.ts";
import type { CreateBody } from "./schema/server.ts";

type Asked = Pick<CreateBody["server"], "imageRef" | "block_device_mapping_v2">;
type Device = NonNullable<Asked["block_device_mapping_v2"]>[number];

/** `swap_mb` 0 is none. */
export type EmptyDisks = { ephemerals: Ephemeral[]; swap_mb: number };

/** nova: max_local_block_devices; the image's own disk is one of them. */
const MAX_LOCAL = 3;
const INVALID = "Block Device Mapping is Invalid: ";

/** The flavor's ephemeral and swap disks, or what is asked for within them; 400 where it is not, or for a volume. */
export function emptyDisksOf({ imageRef, block_device_mapping_v2 = [] }: Asked, flavor: Flavor): EmptyDisks {
  const empty = block_device_mapping_v2.filter((device) => !isImage(device, imageRef));
  for (const { source_type, destination_type, boot_index } of empty) {
    if (source_type !== "blank" || destination_type !== "local") {
      throw badRequest("There is no volume service here: disks are the image's own, ephemeral ones and swap.");
    }
    if (Number(boot_index ?? -1) >= 0) {
      throw badRequest(
        `${INVALID}Boot sequence for the instance and image/block device mapping combination is not valid.`,
      );
    }
  }
  const [swaps, others] = [empty.filter(isSwap), empty.filter((device) => !isSwap(device))];
  const ephemerals = others.map((device) => ephemeralOf(device, flavor));
  if (ephemerals.reduce((sum, { size }) => sum + size, 0) > flavor.ephemeral) {
    throw badRequest(
      "Ephemeral disks requested are larger than the instance type allows. " +
        "If no size is given in one block device mapping, flavor ephemeral size will be used.",
    );
  }
  if (swaps.length > 1) throw badRequest(`${INVALID}More than one swap drive requested.`);
  const swap_mb = swaps[0]?.volume_size ?? flavor.swap;
  if (swap_mb > flavor.swap) throw badRequest("Swap drive requested is larger than instance type allows.");
  if (1 + empty.length > MAX_LOCAL) {
    throw badRequest(`${INVALID}You specified more local devices than the limit allows`);
  }
  const asked = others.length > 0 ? ephemerals : [ephemeralOf({}, flavor)];
  return { ephemerals: asked.filter(({ size }) => size > 0), swap_mb };
}

/** Whether it is the disk that a server has in any case. */
function isImage({ source_type, destination_type, boot_index, uuid }: Device, imageRef: string | undefined): boolean {
  const local = source_type === "image" && (destination_type ?? "local") === "local";
  return local && Number(boot_index ?? 0) === 0 && uuid === imageRef;
}

function isSwap({ guest_format }: Device): boolean {
  return guest_format === "swap";
}

/** As large as the flavor's where no size is asked for. */
function ephemeralOf({ volume_size, guest_format }: Device, flavor: Flavor): Ephemeral {
  const name = guest_format || DEFAULT_EPHEMERAL_FORMAT;
  const format = EPHEMERAL_FORMATS.find((known) => known === name);
  if (format === undefined) throw badRequest(`${INVALID}${name} format is not supported`);
  return { size: volume_size ?? flavor.ephemeral, format };
}
