/** A server as the API shows it, by microversion (nova/api/openstack/compute/views/servers.py). */
import { createHash } from "node:crypto";
import type { Context } from "hono";
import { instanceName, type ServerRecord, zoneOf } from "../conductor/record.ts";
import { status } from "../conductor/state.ts";
import type { Actor } from "../identity/actor.ts";
import { addressesView } from "./addresses-view.ts";
import type { AppEnv } from "./app-env.ts";
import { type Feature, has } from "./history.ts";
import { computeBase, links } from "./resource.ts";
import { microseconds, seconds } from "./timestamp.ts";

/** What shows the server: GET of one or of many, or the answer to PUT. */
type Kind = "show" | "detail" | "update";
/** Who sees it, where; `groups` are the ids of the server's groups. */
export type View = {
  c: Context<AppEnv>;
  minor: number;
  actor: Actor;
  kind: Kind;
  hostStatus: ReadonlyMap<string, string>;
  groups: readonly string[];
  /** Lists leave it out: it has up to 64 KiB a server. */
  userData?: string | null;
};
type Field = {
  on?: Feature;
  /** From when on it is for everybody, always if absent; before, and for "admin" for ever, for admins. */
  users?: Feature | "admin";
  /** Of an extension of Nova's once: PUT's answer has it only from 2.75 on. */
  extension?: true;
  /** Not where many are shown. */
  single?: true;
  /** undefined leaves the field out. */
  value(record: ServerRecord, view: View): unknown;
};

const PROGRESS_STATUS: readonly string[] = ["ACTIVE", "BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE", "MIGRATING"];

const EXTENDED = { on: "server.extended-attributes", users: "admin", extension: true } as const;

const FIELDS: Readonly<Record<string, Field>> = {
  id: { value: (r) => r.uuid },
  name: { value: (r) => r.display_name },
  status: { value: status },
  tenant_id: { value: (r) => r.project_id },
  user_id: { value: (r) => r.user_id },
  metadata: { value: (r) => r.metadata },
  hostId: { value: (r, view) => hostIdIn(view, r) },
  image: { value: image },
  flavor: { value: flavor },
  created: { value: (r) => seconds(r.created_at) },
  updated: { value: (r) => seconds(r.updated_at) },
  addresses: { value: addressesView },
  accessIPv4: { value: (r) => r.access_ip_v4 },
  accessIPv6: { value: (r) => r.access_ip_v6 },
  links: { value: (r, { c }) => links(c, "servers", r.uuid) },
  "OS-DCF:diskConfig": { value: (r) => r.disk_config },
  progress: { value: (r) => (PROGRESS_STATUS.includes(status(r)) ? r.progress : undefined) },
  fault: { value: fault },
  "OS-EXT-AZ:availability_zone": { extension: true, value: (r) => zoneOf(r) ?? "" },
  config_drive: { extension: true, value: (r) => (r.config_drive ? "True" : "") },
  key_name: { extension: true, value: (r) => r.key_name ?? null },
  "OS-SRV-USG:launched_at": { extension: true, value: (r) => microseconds(r.launched_at) },
  "OS-SRV-USG:terminated_at": { extension: true, value: (r) => microseconds(r.terminated_at) },
  "OS-EXT-STS:task_state": { extension: true, value: (r) => r.task_state },
  "OS-EXT-STS:vm_state": { extension: true, value: (r) => r.vm_state },
  "OS-EXT-STS:power_state": { extension: true, value: (r) => r.power_state },
  "os-extended-volumes:volumes_attached": { extension: true, value: () => [] },
  "OS-EXT-SRV-ATTR:host": { extension: true, users: "admin", value: (r) => r.host },
  "OS-EXT-SRV-ATTR:hypervisor_hostname": { extension: true, users: "admin", value: (r) => r.node },
  "OS-EXT-SRV-ATTR:instance_name": { extension: true, users: "admin", value: instanceName },
  "OS-EXT-SRV-ATTR:hostname": { ...EXTENDED, users: "server.hostname", value: (r) => r.hostname },
  "OS-EXT-SRV-ATTR:reservation_id": { ...EXTENDED, value: (r) => r.reservation_id },
  "OS-EXT-SRV-ATTR:launch_index": { ...EXTENDED, value: (r) => r.launch_index },
  "OS-EXT-SRV-ATTR:kernel_id": { ...EXTENDED, value: () => "" },
  "OS-EXT-SRV-ATTR:ramdisk_id": { ...EXTENDED, value: () => "" },
  "OS-EXT-SRV-ATTR:root_device_name": { ...EXTENDED, value: () => "/dev/vda" },
  "OS-EXT-SRV-ATTR:user_data": { ...EXTENDED, value: (_, { userData }) => userData },
  locked: { on: "server.locked", value: (r) => r.locked_by !== null },
  host_status: {
    on: "server.host-status",
    users: "admin",
    extension: true,
    value: (r, { hostStatus }) => hostStatus.get(r.host ?? "") ?? "",
  },
  description: { on: "server.description", value: (r) => r.description },
  tags: { on: "server.tags", value: (r) => r.tags },
  // Images have no signatures here, so no server was built by one.
  trusted_image_certificates: { on: "server.trusted-certificates", value: () => null },
  server_groups: { on: "server.groups", single: true, value: (_, { groups }) => groups },
  locked_reason: { on: "server.lock-reason", value: (r) => r.locked_reason },
  pinned_availability_zone: { on: "server.pinned-zone", value: (r) => r.availability_zone },
};

/** What this caller is shown of a server. */
export function serverView(view: View, record: ServerRecord): object {
  const shown: Record<string, unknown> = {};
  for (const [name, field] of fieldsOf(view)) {
    const value = field.value(record, view);
    if (value !== undefined) shown[name] = value;
  }
  return shown;
}

type Fields = readonly (readonly [name: string, field: Field])[];
/** By the view: a list asks for the same of each of its servers. */
const known = new WeakMap<View, Fields>();

/** What such a view has. */
function fieldsOf(view: View): Fields {
  const fields = known.get(view) ?? Object.entries(FIELDS).filter(([, field]) => isShown(view, field));
  known.set(view, fields);
  return fields;
}

function isShown({ minor, actor, kind }: View, { on, users, extension, single }: Field): boolean {
  if (on !== undefined && !has(minor, on)) return false;
  if (users !== undefined && !actor.is_admin && (users === "admin" || !has(minor, users))) return false;
  const whole = kind !== "update" || has(minor, "server.full-update-view");
  return (whole || !extension) && !(single && kind === "detail");
}

/** What else a view shows of a server, where its caller has asked for it already. */
type Asked = { hostStatus?: View["hostStatus"]; userData?: string | null };

/** One server as GET and PUT show it, with what must be asked of other objects. */
export async function shownServer(
  c: Context<AppEnv>,
  record: ServerRecord,
  kind: Kind,
  asked: Asked = {},
): Promise<object> {
  const { minor, actor } = c.var;
  const [status, groups, userData] = await Promise.all([
    asked.hostStatus ?? hostStatus(c),
    groupsOf(c, record),
    asked.userData === undefined ? userDataOf(c, record) : asked.userData,
  ]);
  return serverView({ c, minor, actor, kind, hostStatus: status, groups, userData }, record);
}

async function userDataOf(c: Context<AppEnv>, { uuid }: ServerRecord): Promise<string | null> {
  return showsUserData(c) ? c.env.SERVER.getByName(uuid).userData(c.var.actor) : null;
}

/** It is asked for only where it is shown. */
export function showsUserData(c: Context<AppEnv>): boolean {
  return c.var.actor.is_admin && has(c.var.minor, "server.extended-attributes");
}

/** What GET /servers shows of each. */
export function serverBrief(c: Context<AppEnv>, record: ServerRecord): object {
  return { id: record.uuid, name: record.display_name, links: links(c, "servers", record.uuid) };
}

/** The group that it was made in, while there is one. */
async function groupsOf(c: Context<AppEnv>, { project_id, server_group }: ServerRecord): Promise<string[]> {
  if (!server_group || !has(c.var.minor, "server.groups")) return [];
  return (await c.env.PROJECT.getByName(project_id).group(server_group)) === null ? [] : [server_group];
}

/** Of each host: DOWN, MAINTENANCE, UP or UNKNOWN (nova: get_instance_host_status). Asked for only where it is shown. */
export async function hostStatus(c: Context<AppEnv>): Promise<ReadonlyMap<string, string>> {
  if (!c.var.actor.is_admin || !has(c.var.minor, "server.host-status")) return new Map();
  const hosts = await c.env.SCHEDULER.getByName("default").services();
  const statusOf = ({ up, enabled, forced_down }: (typeof hosts)[number]) =>
    forced_down ? "DOWN" : enabled ? (up ? "UP" : "UNKNOWN") : "MAINTENANCE";
  return new Map(hosts.map((host) => [host.host, statusOf(host)]));
}

/** The same host reads differently in every project, and stays the same in one. */
export function hostId(project_id: string, host: string | null): string {
  return host === null ? "" : createHash("sha224").update(`${project_id}${host}`).digest("hex");
}

const hostIds = new WeakMap<View, Map<string, string>>();

/** A hash for each host of the view, not for each server. */
function hostIdIn(view: View, { project_id, host }: ServerRecord): string {
  if (host === null) return "";
  const ids = hostIds.get(view) ?? new Map<string, string>();
  const key = `${project_id} ${host}`;
  const id = ids.get(key) ?? hostId(project_id, host);
  hostIds.set(view, ids.set(key, id));
  return id;
}

function image({ image: { id } }: ServerRecord, { c }: View): object {
  return { id, links: [{ rel: "bookmark", href: `${computeBase(c).bookmark}/images/${id}` }] };
}

function flavor({ flavor: f }: ServerRecord, { c, minor }: View): object {
  if (!has(minor, "server.embedded-flavor")) {
    return { id: f.flavorid, links: [{ rel: "bookmark", href: `${computeBase(c).bookmark}/flavors/${f.flavorid}` }] };
  }
  const { vcpus, ram, disk, ephemeral, swap, extra_specs } = f;
  return { vcpus, ram, disk, ephemeral, swap, original_name: f.name, extra_specs };
}

function fault(record: ServerRecord, { actor }: View): object | undefined {
  if (record.fault === null || !["error", "deleted"].includes(record.vm_state)) return undefined;
  const { details, ...told } = record.fault;
  const inside = actor.is_admin && details !== undefined ? { details } : {};
  return { ...told, ...inside, created: seconds(told.created) };
}
