/** A server as the API shows it, by microversion (nova/api/openstack/compute/views/servers.py). */
import { createHash } from "node:crypto";
import type { Context } from "hono";
import { instanceName, type ServerRecord } from "../conductor/record.ts";
import { status } from "../conductor/state.ts";
import type { AppEnv } from "./app-env.ts";
import { computeBase, links } from "./resource.ts";
import { microseconds, seconds } from "./timestamp.ts";

/** What is shown of a server that is not in its record. Lists leave `userData` out: it has up to 64 KiB a server. */
type Beside = { hostStatus: ReadonlyMap<string, string>; userData?: string | null };
type View = Beside & { c: Context<AppEnv>; minor: number };
type Field = {
  name: string;
  /** The first microversion 2.x that shows it; 1 if absent. */
  since?: number;
  admin?: true;
  /** undefined leaves the field out. */
  value(record: ServerRecord, view: View): unknown;
};

const PROGRESS_STATUS: readonly string[] = ["ACTIVE", "BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE", "MIGRATING"];

const FIELDS: readonly Field[] = [
  { name: "id", value: (r) => r.uuid },
  { name: "name", value: (r) => r.display_name },
  { name: "status", value: status },
  { name: "tenant_id", value: (r) => r.project_id },
  { name: "user_id", value: (r) => r.user_id },
  { name: "metadata", value: (r) => r.metadata },
  { name: "hostId", value: (r) => hostId(r) },
  { name: "image", value: image },
  { name: "flavor", value: flavor },
  { name: "created", value: (r) => seconds(r.created_at) },
  { name: "updated", value: (r) => seconds(r.updated_at) },
  { name: "addresses", value: () => ({}) },
  { name: "accessIPv4", value: (r) => r.access_ip_v4 },
  { name: "accessIPv6", value: (r) => r.access_ip_v6 },
  { name: "links", value: (r, { c }) => links(c, "servers", r.uuid) },
  { name: "OS-DCF:diskConfig", value: (r) => r.disk_config },
  { name: "progress", value: (r) => (PROGRESS_STATUS.includes(status(r)) ? r.progress : undefined) },
  { name: "fault", value: fault },
  {
    name: "OS-EXT-AZ:availability_zone",
    value: (r) => (r.host === null ? "" : (r.zone ?? r.availability_zone ?? "nova")),
  },
  { name: "config_drive", value: (r) => (r.config_drive ? "True" : "") },
  { name: "key_name", value: (r) => r.key_name ?? null },
  { name: "OS-SRV-USG:launched_at", value: (r) => microseconds(r.launched_at) },
  { name: "OS-SRV-USG:terminated_at", value: (r) => microseconds(r.terminated_at) },
  { name: "OS-EXT-STS:task_state", value: (r) => r.task_state },
  { name: "OS-EXT-STS:vm_state", value: (r) => r.vm_state },
  { name: "OS-EXT-STS:power_state", value: (r) => r.power_state },
  { name: "os-extended-volumes:volumes_attached", value: () => [] },
  { name: "OS-EXT-SRV-ATTR:host", admin: true, value: (r) => r.host },
  { name: "OS-EXT-SRV-ATTR:hypervisor_hostname", admin: true, value: (r) => r.node },
  { name: "OS-EXT-SRV-ATTR:instance_name", admin: true, value: instanceName },
  { name: "OS-EXT-SRV-ATTR:hostname", since: 3, admin: true, value: (r) => r.hostname },
  { name: "OS-EXT-SRV-ATTR:reservation_id", since: 3, admin: true, value: (r) => r.reservation_id },
  { name: "OS-EXT-SRV-ATTR:launch_index", since: 3, admin: true, value: (r) => r.launch_index },
  { name: "OS-EXT-SRV-ATTR:kernel_id", since: 3, admin: true, value: () => "" },
  { name: "OS-EXT-SRV-ATTR:ramdisk_id", since: 3, admin: true, value: () => "" },
  { name: "OS-EXT-SRV-ATTR:root_device_name", since: 3, admin: true, value: () => "/dev/vda" },
  { name: "OS-EXT-SRV-ATTR:user_data", since: 3, admin: true, value: (_, { userData }) => userData },
  { name: "locked", since: 9, value: (r) => r.locked_by !== null },
  { name: "host_status", since: 16, admin: true, value: (r, { hostStatus }) => hostStatus.get(r.host ?? "") ?? "" },
  { name: "description", since: 19, value: (r) => r.description },
  { name: "tags", since: 26, value: (r) => r.tags },
];

/** The full view: what 2.<minor> shows to this caller. */
export function serverView(c: Context<AppEnv>, record: ServerRecord, beside: Beside): object {
  const { minor, actor } = c.var;
  const view = { ...beside, c, minor };
  const shown: Record<string, unknown> = {};
  for (const field of FIELDS) {
    if (minor < (field.since ?? 1) || (field.admin && !actor.is_admin)) continue;
    const value = field.value(record, view);
    if (value !== undefined) shown[field.name] = value;
  }
  return shown;
}

/** What PUT answers up to 2.74: the fields without an extension's prefix, and without what extensions added bare. */
export function serverCore(c: Context<AppEnv>, record: ServerRecord): object {
  const full = Object.entries(serverView(c, record, { hostStatus: new Map() }));
  return Object.fromEntries(full.filter(([name]) => name === "OS-DCF:diskConfig" || !EXTENSION_FIELD.test(name)));
}

const EXTENSION_FIELD = /:|^(config_drive|key_name|host_status)$/;

/** What GET /servers shows of each. */
export function serverBrief(c: Context<AppEnv>, record: ServerRecord): object {
  return { id: record.uuid, name: record.display_name, links: links(c, "servers", record.uuid) };
}

/** The same host reads differently in every project, and stays the same in one. */
function hostId({ project_id, host }: ServerRecord): string {
  return host === null ? "" : createHash("sha224").update(`${project_id}${host}`).digest("hex");
}

function image({ image: { id } }: ServerRecord, { c }: View): object {
  return { id, links: [{ rel: "bookmark", href: `${computeBase(c).bookmark}/images/${id}` }] };
}

function flavor({ flavor: f }: ServerRecord, { c, minor }: View): object {
  if (minor < 47) {
    return { id: f.flavorid, links: [{ rel: "bookmark", href: `${computeBase(c).bookmark}/flavors/${f.flavorid}` }] };
  }
  const { vcpus, ram, disk, ephemeral, swap, extra_specs } = f;
  return { vcpus, ram, disk, ephemeral, swap, original_name: f.name, extra_specs };
}

function fault(record: ServerRecord): object | undefined {
  if (record.fault === null || !["error", "deleted"].includes(record.vm_state)) return undefined;
  return { ...record.fault, created: seconds(record.fault.created) };
}
