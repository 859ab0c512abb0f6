/** Measures by which all hosts here are alike: no host has PCI devices to give, and there is one cell. */
import type { Weigher } from "./weigher.ts";

/** Hosts without PCI devices are better for guests that ask for none (nova/scheduler/weights/pci.py). */
export const PCIWeigher: Weigher = {
  name: "PCIWeigher",
  option: "pci_weight_multiplier",
  multiplier: (config) => config.PCI_WEIGHT_MULTIPLIER,
  ask: () => null,
};

/** A host of the same cell is better for a move (nova/scheduler/weights/cross_cell.py). */
export const CrossCellWeigher: Weigher = {
  name: "CrossCellWeigher",
  option: "cross_cell_move_weight_multiplier",
  multiplier: (config) => config.CROSS_CELL_MOVE_WEIGHT_MULTIPLIER,
  ask: () => null,
};
