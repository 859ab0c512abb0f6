/** Filters, order and pages of a list of servers (nova: compute/api.py get_all, api/openstack/common.py). Pure. */
import { RE2JS } from "re2js";
import type { ServerRecord } from "../conductor/record.ts";
import { type Status, status } from "../conductor/state.ts";
import { err, ok, type Result } from "../result.ts";

export const SORT_KEYS = [
  "created_at",
  "updated_at",
  "launched_at",
  "display_name",
  "uuid",
  "host",
  "node",
  "vm_state",
  "task_state",
  "power_state",
] as const;
export type SortKey = (typeof SORT_KEYS)[number];

export type ListQuery = {
  /** A regular expression on display_name, matched anywhere in it; RE2 syntax, so its time is linear. */
  name?: string;
  status?: Status[];
  image?: string;
  flavor?: string;
  host?: string;
  uuid?: string;
  sort: { key: SortKey; dir: "asc" | "desc" }[];
  limit: number;
  marker?: string;
};
export type Page = { servers: ServerRecord[]; full: boolean };
export type BadQuery = { kind: "bad_query"; message: string };

/** The page that `query` asks for. Order ends with the uuid, so that it is total. */
export function pageOf(records: readonly ServerRecord[], query: ListQuery): Result<Page, BadQuery> {
  const name = query.name === undefined ? null : compiled(query.name);
  if (name === undefined) return err({ kind: "bad_query", message: `Invalid regular expression ${query.name}` });
  const passes = (record: ServerRecord) =>
    (name === null || name.matcher(record.display_name).find()) &&
    (query.status === undefined || query.status.includes(status(record))) &&
    (query.image === undefined || record.image.id === query.image) &&
    (query.flavor === undefined || record.flavor.flavorid === query.flavor) &&
    (query.host === undefined || record.host === query.host) &&
    (query.uuid === undefined || record.uuid === query.uuid);
  const sorted = records.filter(passes).sort(comparing(query.sort));
  let from = 0;
  if (query.marker !== undefined) {
    from = sorted.findIndex((record) => record.uuid === query.marker) + 1;
    if (from === 0) return err({ kind: "bad_query", message: `marker [${query.marker}] not found` });
  }
  const servers = sorted.slice(from, from + query.limit);
  return ok({ servers, full: servers.length === query.limit && query.limit > 0 });
}

function compiled(pattern: string): RE2JS | undefined {
  try {
    return RE2JS.compile(pattern);
  } catch {
    return undefined;
  }
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
