/** The filters of a list of servers: who may use which, since when, and what it lets through (nova: servers.py _get_server_search_options, compute/api.py). Pure. */
import { RE2JS } from "re2js";
import type { ServerRecord } from "../conductor/record.ts";
import { status } from "../conductor/state.ts";

type Filter = {
  /** The first microversion 2.x that knows it; 1 if absent. */
  since?: number;
  /** From when on it is for everybody; absent: always. Before, and for "admin" for ever, others' use is dropped unsaid. */
  users?: number | "admin";
  /** What is wrong with a value, or null. */
  check?(value: string): string | null;
  /** Whether `record` is among those that any of `values` means. */
  test(record: ServerRecord, values: readonly string[]): boolean;
};

const equal = (of: (record: ServerRecord) => unknown): Filter["test"] => {
  return (record, values) => values.includes(String(of(record) ?? ""));
};
const split = (values: readonly string[]) => values.flatMap((value) => value.split(","));
const isTime = (value: string) => (Number.isNaN(Date.parse(value)) ? "It is not a time in ISO 8601." : null);
const truth = (value: string) => /^(true|1|t|yes|y|on)$/i.test(value);
const isTruth = (value: string) => {
  return /^(true|false|1|0|t|f|yes|no|y|n|on|off)$/i.test(value) ? null : "It is not a boolean.";
};
/** Without a network service no server has an address, so none matches. */
const never = () => false;
const sameTime = (of: (record: ServerRecord) => string | null): Filter => ({
  users: 83,
  check: isTime,
  test: (record, values) => values.some((value) => Date.parse(value) === Date.parse(of(record) ?? "")),
});

/** RE2, so that no pattern can take more than linear time; the last one is kept, as a list asks it of every record. */
let compiled = { value: "", pattern: RE2JS.compile("") };
const pattern = (value: string) => {
  if (compiled.value !== value) compiled = { value, pattern: RE2JS.compile(value) };
  return compiled.pattern;
};
const isPattern = (value: string) => {
  try {
    pattern(value);
    return null;
  } catch {
    return "It is no regular expression.";
  }
};
const matching = (of: (record: ServerRecord) => string): Filter => ({
  check: isPattern,
  test: (record, values) => values.every((value) => pattern(value).matcher(of(record)).find()),
});

export const FILTERS: Readonly<Record<string, Filter>> = {
  name: matching((r) => r.display_name),
  status: { test: (r, values) => values.some((value) => value.toUpperCase() === status(r)) },
  image: { test: (r, values) => values.some((value) => value.split("/").at(-1) === r.image.id) },
  flavor: { test: (r, values) => values.some((value) => value.split("/").at(-1) === r.flavor.flavorid) },
  reservation_id: { test: equal((r) => r.reservation_id) },
  ip: { check: isPattern, test: never },
  ip6: { since: 5, check: isPattern, test: never },
  "changes-since": {
    check: isTime,
    test: (r, values) => values.every((value) => Date.parse(r.updated_at) >= Date.parse(value)),
  },
  "changes-before": {
    since: 66,
    check: isTime,
    test: (r, values) => values.every((value) => Date.parse(r.updated_at) <= Date.parse(value)),
  },
  tags: { since: 26, test: (r, values) => split(values).every((tag) => r.tags.includes(tag)) },
  "tags-any": { since: 26, test: (r, values) => split(values).some((tag) => r.tags.includes(tag)) },
  "not-tags": { since: 26, test: (r, values) => !split(values).every((tag) => r.tags.includes(tag)) },
  "not-tags-any": { since: 26, test: (r, values) => !split(values).some((tag) => r.tags.includes(tag)) },
  locked: {
    since: 73,
    check: isTruth,
    test: (r, values) => values.some((one) => truth(one) === (r.locked_by !== null)),
  },
  availability_zone: { users: 83, test: equal((r) => r.availability_zone) },
  config_drive: { users: 83, check: isTruth, test: (r, values) => values.some((one) => truth(one) === r.config_drive) },
  created_at: sameTime((r) => r.created_at),
  launched_at: sameTime((r) => r.launched_at),
  terminated_at: sameTime((r) => r.terminated_at),
  power_state: { users: 83, test: equal((r) => r.power_state) },
  progress: { users: 83, test: equal((r) => r.progress) },
  task_state: { users: 83, test: equal((r) => r.task_state) },
  vm_state: { users: 83, test: equal((r) => r.vm_state) },
  user_id: { users: 83, test: equal((r) => r.user_id) },
  hostname: { users: 90, ...matching((r) => r.hostname) },
  host: { users: "admin", test: equal((r) => r.host) },
  node: { users: "admin", test: equal((r) => r.node) },
  uuid: { users: "admin", test: equal((r) => r.uuid) },
  display_description: { users: "admin", ...matching((r) => r.description ?? "") },
};

/** One filter of a query, with all the values it was given. */
export type Asked = { name: string; values: string[] };

/** The filters among `query` that this caller may use; the others are dropped without a word, as Nova drops them. */
export function allowed(query: Readonly<Record<string, string[]>>, minor: number, isAdmin: boolean): Asked[] {
  return Object.entries(query).flatMap(([name, values]) => {
    const filter = Object.hasOwn(FILTERS, name) ? FILTERS[name] : undefined;
    if (filter === undefined || minor < (filter.since ?? 1)) return [];
    const usable = isAdmin || filter.users === undefined || (filter.users !== "admin" && minor >= filter.users);
    return usable ? [{ name, values }] : [];
  });
}

/** What is wrong with the filters' values: the name, the value and why; null when nothing is. */
export function wrongValue(asked: readonly Asked[]): { name: string; value: string; why: string } | null {
  for (const { name, values } of asked) {
    for (const value of values) {
      const why = FILTERS[name]?.check?.(value) ?? null;
      if (why !== null) return { name, value, why };
    }
  }
  return null;
}

export function passes(record: ServerRecord, asked: readonly Asked[]): boolean {
  return asked.every(({ name, values }) => FILTERS[name]?.test(record, values) ?? true);
}
