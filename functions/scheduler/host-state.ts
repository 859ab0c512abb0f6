/** A host as the scheduler sees it (nova: scheduler/host_manager.py HostState). */
import type { Resources } from "../compute/claims.ts";
import type { Inventory } from "../protocol/guest.ts";

export type HostState = {
  host: string;
  uuid: string;
  /** Rises with every word of the host; an older word is dropped. */
  seq: number;
  up: boolean;
  enabled: boolean;
  inventory: Inventory;
  /** What may be claimed in all: after reservations and ratios. */
  capacity: Resources;
  used: Resources & { instances: number };
};

/** nova: RequestSpec, as far as it is asked for. */
export type RequestSpec = Resources & {
  server: string;
  availability_zone: string | null;
  requested_host: string | null;
};
