/** A host as the scheduler sees it (nova: scheduler/host_manager.py HostState). */
import { createHash } from "node:crypto";
import type { AllocationRatios, Resources } from "../compute/claims.ts";
import type { GroupPlacement } from "../project/groups.ts";
import type { Inventory } from "../protocol/guest.ts";
import type { Aggregate } from "./aggregates.ts";

/** What an operator says of a host's service (nova: objects.Service). */
export type ServiceStatus = {
  enabled: boolean;
  disabled_reason: string | null;
  /** Fenced by an operator: down, whatever its link says. */
  forced_down: boolean;
};

/** What a host does besides holding servers. */
export type HostLoad = {
  /** Guests that are being built, rebuilt or copied (nova: HostState.num_io_ops). */
  io_ops: number;
  /** Builds that failed since the last one that did not (nova: HostState.failed_builds). */
  failed_builds: number;
  /** How many of its servers have each image property, by `name=value`. */
  image_properties: Record<string, number>;
};

export type HostState = ServiceStatus &
  HostLoad & {
    host: string;
    uuid: string;
    /** Rises with every word of the host; an older word is dropped. */
    seq: number;
    /** Heard of within service_down_time, and not forced down. */
    up: boolean;
    /** Its agent is there to be called: what is sent to the host now arrives. */
    connected: boolean;
    /** Its last sign of life that was told; ISO 8601. Heartbeats are not told one by one. */
    updated_at: string | null;
    inventory: Inventory;
    /** What may be claimed in all: after reservations and ratios. */
    capacity: Resources;
    used: Resources & { instances: number };
    /** What capacity was made with; a word from before it was told has none. */
    ratios?: AllocationRatios;
  };

/** All that does not come with each claim, as one word: while it is the same, there is nothing to tell anew. */
export function gist(state: HostState): string {
  const { seq: _s, updated_at: _u, used: _c, io_ops: _i, failed_builds: _f, image_properties: _p, ...lasting } = state;
  return createHash("sha256").update(JSON.stringify(lasting)).digest("base64url");
}

/** As operators see it. `id` is for the microversions before 2.53, and is never given twice. */
export type KnownHost = HostState & { id: number; zone: string };

/** As filters and weighers see it: with the aggregates that it is in. */
export type CandidateHost = KnownHost & {
  aggregates: readonly HostAggregate[];
};
export type HostAggregate = Pick<Aggregate, "id" | "uuid" | "name" | "metadata">;

/** nova: RequestSpec, as far as it is asked for. */
export type RequestSpec = Resources & {
  server: string;
  project_id: string;
  flavor: { name: string; extra_specs: Record<string, string> };
  /** `properties`: those that hosts are chosen by. */
  image: { id: string; properties: Record<string, string> };
  availability_zone: string | null;
  requested_host: string | null;
  requested_destination: string | null;
  /** Whether the requested destination is where the server is, and another image all that is new (nova: _nova_check_type). */
  is_rebuild?: true;
  /** Where the others of the server's group are; null when it has none. */
  group: GroupPlacement | null;
  hints: Record<string, string[]>;
  /** The hosts of the servers that the hints name, by the servers' ids; null where there is none. */
  hinted_hosts: Record<string, string | null>;
  /** Hosts that are not to be chosen, as it is there or was refused there (nova: RequestSpec.ignore_hosts). */
  ignored_hosts?: string[];
  /** Hosts that were tried for this request before (nova: RequestSpec.retry). */
  tried: string[];
  /** Whether an aggregate, with or without hosts, names the project as its own; the scheduler itself says so. */
  has_aggregate?: boolean;
};
