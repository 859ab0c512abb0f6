/** Order and pages of a list of servers (nova: api/openstack/common.py, compute/instance_list.py). Pure. */
import type { ServerRecord } from "../conductor/record.ts";
import { err, ok, type Result } from "../result.ts";
import { type Asked, passes } from "./filters.ts";

export const SORT_KEYS = [
  "availability_zone",
  "created_at",
  "display_name",
  "host",
  "hostname",
  "launch_index",
  "launched_at",
  "node",
  "power_state",
  "progress",
  "project_id",
  "task_state",
  "terminated_at",
  "updated_at",
  "user_id",
  "uuid",
  "vm_state",
] as const;
export type SortKey = (typeof SORT_KEYS)[number];

export type ListQuery = {
  filters: Asked[];
  sort: { key: SortKey; dir: "asc" | "desc" }[];
  limit: number;
  marker?: string;
};
export type Page = { servers: ServerRecord[]; full: boolean };
export type BadQuery = { kind: "bad_query"; message: string };

/** The page that `query` asks for. Order ends with the uuid, so that it is total. */
export function pageOf(records: readonly ServerRecord[], query: ListQuery): Result<Page, BadQuery> {
  const sorted = records.filter((record) => passes(record, query.filters)).sort(comparing(query.sort));
  let from = 0;
  if (query.marker !== undefined) {
    from = sorted.findIndex((record) => record.uuid === query.marker) + 1;
    if (from === 0) return err({ kind: "bad_query", message: `marker [${query.marker}] not found` });
  }
  const servers = sorted.slice(from, from + query.limit);
  return ok({ servers, full: servers.length === query.limit && query.limit > 0 });
}

function comparing(sort: ListQuery["sort"]): (a: ServerRecord, b: ServerRecord) => number {
  const keys = sort.some(({ key }) => key === "uuid")
    ? sort
    : [...sort, { key: "uuid" as const, dir: "desc" as const }];
  return (a, b) => {
    for (const { key, dir } of keys) {
      const [x, y] = [a[key] ?? "", b[key] ?? ""];
      if (x !== y) return x < y === (dir === "asc") ? -1 : 1;
    }
    return 0;
  };
}
