/** The query of GET /servers and /servers/detail: which filters there are, for whom and since when (nova/api/openstack/compute/schemas/servers.py query_params_v21 …). */
import { z } from "zod";
import { type FilterName, isPattern, isTruth } from "../../project/filters.ts";
import { type Feature, has } from "../history.ts";
import { last, truth, whole } from "./list.ts";
import { type Property, versioned } from "./versioned.ts";

/** Every parameter may be repeated. */
const texts = z.array(z.string().max(4096)).max(100);
const each = (holds: (value: string) => boolean, words: string) => texts.refine((all) => all.every(holds), words);
const times = each((value) => !Number.isNaN(Date.parse(value)), "It is not a time in ISO 8601.");
const truths = each(isTruth, "It is not a boolean.");
const patterns = each(isPattern, "It is no regular expression.");

/** `users`: from when on it is for everybody, always if absent; others' use is dropped unsaid, as Nova drops it. */
type FilterRow = { schema: typeof texts; on?: Feature; users?: Feature | "admin" };

export const FILTERS = {
  name: { schema: patterns },
  status: { schema: texts },
  image: { schema: texts },
  flavor: { schema: texts },
  reservation_id: { schema: patterns },
  ip: { schema: patterns },
  ip6: { schema: patterns, on: "server.ip6-filter" },
  "changes-since": { schema: times },
  "changes-before": { schema: times, on: "server.changes-before" },
  tags: { schema: texts, on: "server.tags" },
  "tags-any": { schema: texts, on: "server.tags" },
  "not-tags": { schema: texts, on: "server.tags" },
  "not-tags-any": { schema: texts, on: "server.tags" },
  locked: { schema: truths, on: "server.lock-reason" },
  availability_zone: { schema: patterns, users: "server.user-filters" },
  config_drive: { schema: truths, users: "server.user-filters" },
  created_at: { schema: times, users: "server.user-filters" },
  key_name: { schema: patterns, users: "server.user-filters" },
  launched_at: { schema: times, users: "server.user-filters" },
  terminated_at: { schema: times, users: "server.user-filters" },
  power_state: { schema: patterns, users: "server.user-filters" },
  progress: { schema: patterns, users: "server.user-filters" },
  task_state: { schema: texts, users: "server.user-filters" },
  vm_state: { schema: texts, users: "server.user-filters" },
  user_id: { schema: texts, users: "server.user-filters" },
  hostname: { schema: patterns, users: "server.hostname" },
  description: { schema: patterns, users: "admin" },
  display_description: { schema: patterns, users: "admin" },
  display_name: { schema: patterns, users: "admin" },
  host: { schema: texts, users: "admin" },
  image_ref: { schema: texts, users: "admin" },
  instance_name: { schema: patterns, on: "server.instance-name-filter", users: "admin" },
  launch_index: { schema: patterns, users: "admin" },
  locked_by: { schema: patterns, users: "admin" },
  node: { schema: patterns, users: "admin" },
  uuid: { schema: texts, users: "admin" },
} as const satisfies Record<FilterName, FilterRow>;

const text = { schema: texts };
/** What Nova's schema knows, and no server here differs in. */
const WITHOUT_MEANING = {
  access_ip_v4: text,
  access_ip_v6: text,
  auto_disk_config: text,
  kernel_id: text,
  ramdisk_id: text,
  root_device_name: text,
  soft_deleted: text,
} as const;

const listQuery = {
  ...FILTERS,
  ...WITHOUT_MEANING,
  /** Bare `all_tenants` means yes. */
  all_tenants: { schema: last.transform((value) => value || "true").pipe(truth) },
  project_id: { schema: last },
  tenant_id: { schema: last },
  /** What is no boolean is no. */
  deleted: { schema: last },
  sort_key: { schema: z.array(z.string().max(64)).max(16) },
  sort_dir: { schema: z.array(z.enum(["asc", "desc"], "It is neither asc nor desc.")).max(16) },
  limit: { schema: whole },
  marker: { schema: last },
} as const satisfies Record<string, Property>;

export const listServers = versioned(listQuery, "server.strict-query");
export type ListServers = z.infer<ReturnType<typeof listServers>>;

/** The filters of `asked` that this caller may use. */
export function usable(asked: ListServers, minor: number, isAdmin: boolean): { name: FilterName; values: string[] }[] {
  return filterNames.flatMap((name) => {
    const values = asked[name];
    const { users }: FilterRow = FILTERS[name];
    const may = isAdmin || users === undefined || (users !== "admin" && has(minor, users));
    return may && values !== undefined ? [{ name, values }] : [];
  });
}
const filterNames = Object.keys(FILTERS) as FilterName[];
