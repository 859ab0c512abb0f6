/** One copy of each cpu_info, as thousands of hosts have the same: with its list of features it is most of an inventory. */
import type { Inventory } from "../protocol/guest.ts";
import type { CpuInfo } from "../protocol/resources.ts";

/** There are fewer kinds of machines than this; what a host makes up beyond is its own, and kept with it alone. */
const MAX_KINDS = 256;

export class CpuInfos {
  readonly #known = new Map<string, CpuInfo>();

  /** The inventory, with the copy that all of its kind share. */
  sharedIn(inventory: Inventory): Inventory {
    const { cpu_info } = inventory;
    if (cpu_info === undefined) return inventory;
    const text = JSON.stringify(cpu_info);
    const known = this.#known.get(text);
    if (known) return { ...inventory, cpu_info: known };
    if (this.#known.size < MAX_KINDS) this.#known.set(text, cpu_info);
    return inventory;
  }
}
