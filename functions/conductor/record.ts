/** A server's record: kept by its `Server` object, copied to its `Project`'s index, shown by the API. */
import type { Flavor } from "../compute/flavor.ts";
import type { GuestInterface, GuestReport } from "../protocol/guest.ts";
import type { Ephemeral, ImageRef } from "../protocol/methods.ts";
import type { InstanceState, VmState } from "./state.ts";

/** nova: InstanceFault. `message` is fit for the owner; nothing of the host's insides is in it. */
export type Fault = {
  code: number;
  created: string;
  message: string;
  /** What operators are told besides. */
  details?: string;
};

/** What the API asks to be built. Times are ISO 8601 in UTC with milliseconds. */
export type CreateSpec = {
  uuid: string;
  project_id: string;
  user_id: string;
  display_name: string;
  description: string | null;
  hostname: string;
  metadata: Record<string, string>;
  tags: string[];
  flavor: Flavor;
  image: ImageRef;
  /** The empty disks it was asked with, as in its guest's spec; no record from before them has any. */
  ephemerals?: Ephemeral[];
  swap_mb?: number;
  /** What the image says of the hosts it is for, and of the guest's hardware; records of before have none. */
  image_properties?: Record<string, string>;
  availability_zone: string | null;
  /** nova: force_hosts, no filter is asked; null lets the scheduler choose. */
  requested_host: string | null;
  /** nova: requested_destination, a host that the filters must let through; null: any. */
  requested_destination?: string | null;
  /** nova: instance.key_name; the key itself is with what the server was given. */
  key_name: string | null;
  /** Empty when unset. */
  access_ip_v4: string;
  access_ip_v6: string;
  /** Whether its guest gets a config drive. */
  config_drive: boolean;
  /** The server group that it was made in. */
  server_group: string | null;
  /** What the scheduler was told, by name: always a list, and JSON where it was no text (nova: RequestSpec). */
  scheduler_hints?: Record<string, string[]>;
  disk_config: "AUTO" | "MANUAL";
  reservation_id: string;
  launch_index: number;
  created_at: string;
};

export type ServerRecord = CreateSpec &
  InstanceState & {
    /** Rises with every change; the index drops what is older than what it has. */
    version: number;
    host: string | null;
    node: string | null;
    /** The availability zone that its host was in when it came there. */
    zone: string | null;
    updated_at: string;
    terminated_at: string | null;
    progress: number;
    fault: Fault | null;
    locked_by: "owner" | "admin" | null;
    locked_reason: string | null;
    /** What a resize under way is to make of it: its quota is charged with the greater of both. */
    new_flavor: Flavor | null;
    /** When it was soft-deleted; null while it is not. */
    deleted_at: string | null;
    /** The image of its disk while it is shelved, and since when; null while it is not. */
    shelved: { image: string; at: string } | null;
    /** The incarnation of its guest that a host told of last: one that was asked for may never have come to be. */
    seen_generation?: number;
    /** What its host told last of its guest's interfaces (nova: instance_info_cache). None if absent. */
    interfaces?: GuestInterface[];
    /** How often it has come to have no screen: a console's token is good until the next time. None if absent. */
    screens_ended?: number;
    /** The incarnation that its present screen began with, where it has moved since with that screen. */
    screen_since?: number;
    /** Where its screen is while it migrates, once it has come alive there, before its source has said that it went. */
    screen_host?: string | null;
    /** The latest incarnation that a host was asked to take, which may never have come to be. */
    tried_generation?: number;
    /** What a resize that is not confirmed may go back to; null or absent: there is none. */
    resized?: Resized | null;
    /** Hosts that it was evacuated from, and that may still have its guest. None if absent. */
    evacuated_from?: string[];
    /** The request of a soft delete, which waits for what is under way. */
    delete_requested?: string | null;
    /** The migration that its user called off before it copied anything. */
    abort_requested?: string | null;
  };

/** nova: MigrationContext, and old_vm_state of its system_metadata. `migration` is the move's uuid. */
export type Resized = {
  migration: string;
  /** When it came to rest at the destination (ISO 8601). */
  at: string;
  host: string;
  node: string | null;
  zone: string | null;
  flavor: Flavor;
  /** Its other disks; none in what a resize left before it changed them. */
  ephemerals?: Ephemeral[];
  swap_mb?: number;
  was: VmState;
};

/** An incarnation that is later than all that any host was ever told of. */
export function nextGeneration({ generation, tried_generation = 0 }: ServerRecord): number {
  return Math.max(generation, tried_generation) + 1;
}

/** The latest incarnation that any host was told of: who ends it ends all of them. */
export const lastGeneration = (record: ServerRecord): number => nextGeneration(record) - 1;

/** SQL that gives a column `record` of before these fields their values. */
export const WITH_CONFIG_DRIVE = `json_insert(
  record, '$.access_ip_v4', '', '$.access_ip_v6', '', '$.config_drive', json('false'))`;

/** As well, for what came with the whole of Nova's states. */
export const WITH_ALL_STATES = `json_insert(
  record, '$.locked_reason', json('null'), '$.new_flavor', json('null'), '$.deleted_at', json('null'), '$.shelved', json('null'))`;

export function newRecord(spec: CreateSpec): ServerRecord {
  return {
    ...spec,
    vm_state: "building",
    task_state: "scheduling",
    power_state: 0,
    generation: 1,
    version: 1,
    host: null,
    node: null,
    zone: null,
    updated_at: spec.created_at,
    launched_at: null,
    terminated_at: null,
    progress: 0,
    fault: null,
    locked_by: null,
    locked_reason: null,
    new_flavor: null,
    deleted_at: null,
    shelved: null,
  };
}

/** nova: add_instance_fault_from_exc. */
export function faultOf({ code, message, details }: Pick<Fault, "code" | "message" | "details">): Fault {
  const fault = { code, created: new Date().toISOString(), message: message.slice(0, 255) };
  return details === undefined ? fault : { ...fault, details: details.slice(0, MAX_DETAILS) };
}

/** The availability zone that a server is in: its host's; without a host, the one that was asked for. */
export function zoneOf({ host, zone, availability_zone }: ServerRecord): string | null {
  return host === null ? availability_zone : (zone ?? availability_zone ?? "nova");
}

/** They are in the record, and so in lists. */
const MAX_DETAILS = 2048;

/** The name the guest has on its hypervisor. Nova's instance_name_template needs a database id; the uuid is ours. */
export function instanceName(record: Pick<CreateSpec, "uuid">): string {
  return `instance-${record.uuid}`;
}

/** What a report makes other; null when it is nothing. */
export function toldBy({ power_state, interfaces }: GuestReport, record: ServerRecord): Partial<ServerRecord> | null {
  const moved = interfaces !== undefined && JSON.stringify(interfaces) !== JSON.stringify(record.interfaces ?? []);
  if (power_state === record.power_state && !moved) return null;
  return moved ? { power_state, interfaces } : { power_state };
}
