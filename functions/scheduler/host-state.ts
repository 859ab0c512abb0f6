/** A host as the scheduler sees it (nova: scheduler/host_manager.py HostState). */
import type { Resources } from "../compute/claims.ts";
import type { GroupPlacement } from "../project/groups.ts";
import type { Inventory } from "../protocol/guest.ts";

/** What an operator says of a host's service (nova: objects.Service). */
export type ServiceStatus = {
  enabled: boolean;
  disabled_reason: string | null;
  /** Fenced by an operator: down, whatever its link says. */
  forced_down: boolean;
};

export type HostState = ServiceStatus & {
  host: string;
  uuid: string;
  /** Rises with every word of the host; an older word is dropped. */
  seq: number;
  up: boolean;
  /** When the host last gave word; ISO 8601. */
  updated_at: string | null;
  inventory: Inventory;
  /** What may be claimed in all: after reservations and ratios. */
  capacity: Resources;
  used: Resources & { instances: number };
};

/** As operators see it. `id` is for the microversions before 2.53, and is never given twice. */
export type KnownHost = HostState & { id: number; zone: string };

/** nova: RequestSpec, as far as it is asked for. */
export type RequestSpec = Resources & {
  server: string;
  availability_zone: string | null;
  requested_host: string | null;
  requested_destination: string | null;
  /** Where the others of the server's group are; null when it has none. */
  group: GroupPlacement | null;
};
