/** Hosts and requests as filters and weighers see them. */
import type { CandidateHost, RequestSpec } from "../../functions/scheduler/host-state.ts";
import { INVENTORY } from "./scripted-agent.ts";

/** A host that is up, in no aggregate, and has 16 vcpus, 8192 MiB and 100 GiB, all free. */
export function candidate(change: Partial<CandidateHost> = {}): CandidateHost {
  return {
    id: 1,
    zone: "nova",
    host: "h",
    uuid: change.host ?? "h",
    seq: 1,
    up: true,
    connected: true,
    enabled: true,
    disabled_reason: null,
    forced_down: false,
    updated_at: null,
    inventory: INVENTORY,
    capacity: { vcpus: 16, memory_mb: 8192, disk_gb: 100 },
    used: { vcpus: 0, memory_mb: 0, disk_gb: 0, instances: 0 },
    io_ops: 0,
    failed_builds: 0,
    image_properties: {},
    aggregates: [],
    ...change,
  };
}

/** An aggregate of this metadata, as a host's. */
export const inAggregate = (...metadata: Record<string, string>[]): Pick<CandidateHost, "aggregates"> => ({
  aggregates: metadata.map((one, at) => ({ id: at + 1, uuid: `${at + 1}`, name: `agg-${at + 1}`, metadata: one })),
});

/** A server of 1 vcpu, 1024 MiB and 1 GiB, for any host. */
export function requestOf(change: Partial<RequestSpec> = {}): RequestSpec {
  return {
    server: "s",
    project_id: "p",
    vcpus: 1,
    memory_mb: 1024,
    disk_gb: 1,
    flavor: { name: "f", extra_specs: {} },
    image: { id: "i", properties: {} },
    availability_zone: null,
    requested_host: null,
    requested_destination: null,
    group: null,
    hints: {},
    hinted_hosts: {},
    tried: [],
    ...change,
  };
}
