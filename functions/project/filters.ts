/** What each filter of a list of servers lets through (nova: db/main/api.py instance_get_all_by_filters). Pure. */
import { RE2JS } from "re2js";
import { addressesOf } from "../conductor/addresses.ts";
import { instanceName, type ServerRecord, zoneOf } from "../conductor/record.ts";
import { status } from "../conductor/state.ts";

/** Whether `record` is among those that any of `values` means. */
type Test = (record: ServerRecord, values: readonly string[]) => boolean;

const equal = (of: (record: ServerRecord) => unknown): Test => {
  return (record, values) => values.includes(String(of(record) ?? ""));
};
const split = (values: readonly string[]) => values.flatMap((value) => value.split(","));
const truth = (value: string) => /^(true|1|t|yes|y|on)$/i.test(value);
export const isTruth = (value: string) => /^(true|false|1|0|t|f|yes|no|y|n|on|off)$/i.test(value);
const sameTime = (of: (record: ServerRecord) => string | null): Test => {
  return (record, values) => values.some((value) => Date.parse(value) === Date.parse(of(record) ?? ""));
};

/** RE2, so that no pattern can take more than linear time; the last one is kept, as a list asks it of every record. */
let compiled = { value: "", pattern: RE2JS.compile("") };
const pattern = (value: string) => {
  if (compiled.value !== value) compiled = { value, pattern: RE2JS.compile(value) };
  return compiled.pattern;
};
export const isPattern = (value: string) => {
  try {
    pattern(value);
    return true;
  } catch {
    return false;
  }
};
/** What is null matches nothing, as in SQL. */
const matching = (of: (record: ServerRecord) => string | number | null | undefined): Test => {
  return (record, values) => {
    const text = of(record) ?? null;
    return text !== null && values.every((value) => pattern(value).matcher(String(text)).find());
  };
};

const addressed = (version: 4 | 6): Test => {
  return (record, values) => {
    const all = [...addressesOf(record).values()].flat();
    const texts = all.filter((it) => it.version === version).map(({ addr }) => addr);
    return texts.some((text) => values.every((value) => pattern(value).matcher(text).find()));
  };
};

const TESTS = {
  name: matching((r) => r.display_name),
  status: (r, values) => values.some((value) => value.toUpperCase() === status(r)),
  image: (r, values) => values.some((value) => value.split("/").at(-1) === r.image.id),
  flavor: (r, values) => values.some((value) => value.split("/").at(-1) === r.flavor.flavorid),
  reservation_id: matching((r) => r.reservation_id),
  ip: addressed(4),
  ip6: addressed(6),
  "changes-since": (r, values) => values.every((value) => Date.parse(r.updated_at) >= Date.parse(value)),
  "changes-before": (r, values) => values.every((value) => Date.parse(r.updated_at) <= Date.parse(value)),
  tags: (r, values) => split(values).every((tag) => r.tags.includes(tag)),
  "tags-any": (r, values) => split(values).some((tag) => r.tags.includes(tag)),
  "not-tags": (r, values) => !split(values).every((tag) => r.tags.includes(tag)),
  "not-tags-any": (r, values) => !split(values).some((tag) => r.tags.includes(tag)),
  locked: (r, values) => values.some((one) => truth(one) === (r.locked_by !== null)),
  availability_zone: matching(zoneOf),
  config_drive: (r, values) => values.some((one) => truth(one) === r.config_drive),
  created_at: sameTime((r) => r.created_at),
  description: matching((r) => r.description),
  display_description: matching((r) => r.description),
  display_name: matching((r) => r.display_name),
  host: equal((r) => r.host),
  hostname: matching((r) => r.hostname),
  image_ref: equal((r) => r.image.id),
  instance_name: matching(instanceName),
  key_name: matching((r) => r.key_name),
  launch_index: matching((r) => r.launch_index),
  launched_at: sameTime((r) => r.launched_at),
  locked_by: matching((r) => r.locked_by),
  node: matching((r) => r.node),
  power_state: matching((r) => r.power_state),
  progress: matching((r) => r.progress),
  task_state: equal((r) => r.task_state),
  terminated_at: sameTime((r) => r.terminated_at),
  user_id: equal((r) => r.user_id),
  uuid: equal((r) => r.uuid),
  vm_state: equal((r) => r.vm_state),
} as const satisfies Record<string, Test>;

export type FilterName = keyof typeof TESTS;
/** One filter of a query, with all the values it was given. */
export type Asked = { name: FilterName; values: string[] };

export function passes(record: ServerRecord, asked: readonly Asked[]): boolean {
  return asked.every(({ name, values }) => TESTS[name](record, values));
}
