/** Order and pages of a list of servers (nova: api/openstack/common.py, compute/instance_list.py). Pure. */
import { type ServerRecord, zoneOf } from "../conductor/record.ts";
import type { Asked } from "./filters.ts";

/** What one sorts by: of a record, and of its row's JSON. */
type Column = { sql: string; of(record: ServerRecord): unknown };

const field = (path: string): Column => ({
  sql: `record ->> '$.${path}'`,
  of: (record) => path.split(".").reduce<unknown>((inner, key) => (inner ? Reflect.get(inner, key) : null), record),
});
/** zoneOf (conductor/record.ts). */
const ZONE = `CASE WHEN record ->> '$.host' IS NULL THEN record ->> '$.availability_zone'
  ELSE coalesce(record ->> '$.zone', record ->> '$.availability_zone', 'nova') END`;
/** Of every server the same. */
const same: Column = { sql: "NULL", of: () => null };

export const SORT_KEYS = {
  access_ip_v4: field("access_ip_v4"),
  access_ip_v6: field("access_ip_v6"),
  auto_disk_config: field("disk_config"),
  availability_zone: { sql: ZONE, of: zoneOf },
  config_drive: field("config_drive"),
  created_at: field("created_at"),
  display_description: field("description"),
  display_name: field("display_name"),
  host: field("host"),
  hostname: field("hostname"),
  image_ref: field("image.id"),
  instance_type_id: field("flavor.flavorid"),
  kernel_id: same,
  key_name: field("key_name"),
  launch_index: field("launch_index"),
  launched_at: field("launched_at"),
  locked: { sql: "(record ->> '$.locked_by' IS NOT NULL)", of: (record) => Number(record.locked_by !== null) },
  locked_by: field("locked_by"),
  node: field("node"),
  power_state: field("power_state"),
  progress: field("progress"),
  project_id: field("project_id"),
  ramdisk_id: same,
  root_device_name: same,
  task_state: field("task_state"),
  terminated_at: field("terminated_at"),
  updated_at: field("updated_at"),
  user_id: field("user_id"),
  uuid: { sql: "uuid", of: (record) => record.uuid },
  vm_state: field("vm_state"),
} as const satisfies Record<string, Column>;
export type SortKey = keyof typeof SORT_KEYS;

type Order = { key: SortKey; dir: "asc" | "desc" }[];
export type ListQuery = {
  filters: Asked[];
  sort: Order;
  limit: number;
  /** Whether servers that are gone are meant instead; "both": too. No if absent. */
  deleted?: boolean | "both";
  /** The page begins after this server: its uuid, or what it is where it may be another project's. */
  marker?: string;
  after?: ServerRecord;
};
/** `full`: there may be more. */
export type Page = { servers: ServerRecord[]; full: boolean };
/** The same with the servers as JSON, which is what the rows hold: a thousand of them travel as one text. */
export type PackedPage = { servers: string; full: boolean };
export const unpacked = ({ servers, full }: PackedPage): Page => ({ servers: JSON.parse(servers), full });
export type BadQuery = { kind: "bad_query"; message: string };

type Bound = string | number | null;

/** `WHERE … ORDER BY …` of a page that begins after `after`. Order ends with the uuid, so that it is total. */
export function pageSql(sort: Order, after: ServerRecord | null): { sql: string; bound: Bound[] } {
  const order = total(sort);
  const by = order.map(({ key, dir }) => `${SORT_KEYS[key].sql} ${dir}`).join(", ");
  if (after === null) return { sql: `ORDER BY ${by}`, bound: [] };
  const bound: Bound[] = [];
  const bind = (value: Bound) => `?${bound.push(value)}`;
  // Behind it in one key, and level with it in all before.
  const branches = order.map(({ key, dir }, at) => {
    const level = order.slice(0, at).map((one) => `${SORT_KEYS[one.key].sql} IS ${bind(boundOf(after, one.key))}`);
    return [...level, behind(SORT_KEYS[key].sql, dir, boundOf(after, key), bind)].join(" AND ");
  });
  return { sql: `WHERE (${branches.join(" OR ")}) ORDER BY ${by}`, bound };
}

/** NULL is SQLite's least: the first going up, the last going down. */
function behind(sql: string, dir: "asc" | "desc", value: Bound, bind: (value: Bound) => string): string {
  if (value === null) return dir === "asc" ? `${sql} IS NOT NULL` : "FALSE";
  return dir === "asc" ? `${sql} > ${bind(value)}` : `(${sql} < ${bind(value)} OR ${sql} IS NULL)`;
}

/** One page of several projects' pages, each in order and `limit` long. */
export function merged(pages: readonly Page[], { sort, limit }: ListQuery): Page {
  const servers = pages
    .flatMap((page) => page.servers)
    .sort(comparing(total(sort)))
    .slice(0, limit);
  return { servers, full: isFull(servers, limit) };
}

export const isFull = ({ length }: readonly unknown[], limit: number) => length === limit && limit > 0;

const total = (sort: Order): Order => {
  return sort.some(({ key }) => key === "uuid") ? sort : [...sort, { key: "uuid", dir: "asc" }];
};

function boundOf(record: ServerRecord, key: SortKey): Bound {
  const value = SORT_KEYS[key].of(record);
  // SQLite's JSON has 0 and 1 for these.
  if (typeof value === "boolean") return Number(value);
  return typeof value === "string" || typeof value === "number" ? value : null;
}

function comparing(order: Order): (a: ServerRecord, b: ServerRecord) => number {
  return (a, b) => {
    for (const { key, dir } of order) {
      const [x, y] = [boundOf(a, key), boundOf(b, key)];
      if (x === y) continue;
      const less = x === null || (y !== null && x < y);
      return less === (dir === "asc") ? -1 : 1;
    }
    return 0;
  };
}
