/** What a server is with another flavor (nova: compute _finish_resize, _update_bdm_for_swap_to_finish_resize). Pure. */
import type { Flavor } from "../compute/flavor.ts";
import { DEFAULT_EPHEMERAL_FORMAT, type Ephemeral } from "../protocol/methods.ts";
import type { ServerRecord } from "./record.ts";

/** All of a server that a resize changes. */
export type Sizes = Required<Pick<ServerRecord, "flavor" | "ephemerals" | "swap_mb">>;

export const sizesOf = ({ flavor, ephemerals = [], swap_mb = 0 }: Sizes | ServerRecord): Sizes => ({
  flavor,
  ephemerals,
  swap_mb,
});

/**
 * The swap disk is the flavor's. So is the one ephemeral disk that is all that the flavor had for it, and one that there
 * was none of yet; others are as they were asked for.
 */
export function sizedTo(flavor: Flavor, server: Sizes | ServerRecord): Sizes {
  const { flavor: old, ephemerals, swap_mb } = sizesOf(server);
  const [only] = ephemerals;
  const isFlavors = ephemerals.length < 2 && (only === undefined || only.size === old.ephemeral);
  return {
    flavor,
    ephemerals: isFlavors ? ephemeralsOf(flavor, only?.format) : ephemerals,
    swap_mb: flavor.swap === old.swap ? swap_mb : flavor.swap,
  };
}

const ephemeralsOf = ({ ephemeral: size }: Flavor, format: Ephemeral["format"] = DEFAULT_EPHEMERAL_FORMAT) =>
  size > 0 ? [{ size, format }] : [];

/** Whether a disk would lose some of what is on it (nova/virt/libvirt/driver.py: migrate_disk_and_power_off). */
export function wouldShrink(server: ServerRecord, to: Flavor): boolean {
  const { flavor, ephemerals } = sizesOf(server);
  const ephemeral = ephemerals.reduce((sum, { size }) => sum + size, 0) || flavor.ephemeral;
  return to.disk < flavor.disk || to.ephemeral < ephemeral;
}
