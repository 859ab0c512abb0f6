/** The hint `query`: `[">=", "$free_ram_mb", 1024]` (nova/scheduler/filters/json_filter.py). */
import { capabilitiesOf, capability } from "../capabilities.ts";
import type { Filter } from "./filter.ts";

/** Deeper than anybody writes, and far from where a stack ends. */
const MAX_DEPTH = 32;

type Value = unknown;
type Fields = Readonly<Record<string, Value>>;

/** Each pair of neighbours: `first` with every one of the others. */
const compare =
  (holds: (a: Value, b: Value) => boolean) =>
  (args: readonly Value[]): boolean =>
    args.length >= 2 && args.slice(1).every((one) => holds(args[0], one));

const ordered = (holds: (a: number | string, b: number | string) => boolean) =>
  compare((a, b) => {
    if (typeof a === "number" && typeof b === "number") return holds(a, b);
    return typeof a === "string" && typeof b === "string" && holds(a, b);
  });

const OPERATORS: Readonly<Record<string, (args: readonly Value[]) => Value>> = {
  "=": compare((a, b) => a === b),
  "<": ordered((a, b) => a < b),
  ">": ordered((a, b) => a > b),
  "<=": ordered((a, b) => a <= b),
  ">=": ordered((a, b) => a >= b),
  in: (args) => args.slice(1).includes(args[0]),
  not: (args) => !args[0],
  or: (args) => args.some(Boolean),
  and: (args) => args.every(Boolean),
};

class BadQuery extends Error {}

/** The hosts that the user's own query holds for. Users can ask for more than they should: it is off unless enabled. */
export const JsonFilter: Filter = {
  name: "JsonFilter",
  ask({ hints }) {
    const text = hints.query?.[0];
    if (text === undefined) return null;
    let query: Value;
    try {
      query = JSON.parse(text);
    } catch {
      return () => "the hint query is not JSON";
    }
    return (host) => {
      try {
        return evaluate(query, capabilitiesOf(host), 0) ? null : "the hint query does not hold";
      } catch (error) {
        if (error instanceof BadQuery) return error.message;
        throw error;
      }
    };
  },
};

/** What a query comes to; an empty list is true, `$a.b` is the host's. */
function evaluate(query: Value, fields: Fields, depth: number): Value {
  if (depth > MAX_DEPTH) throw new BadQuery("the hint query is too deep");
  if (typeof query === "string" && query.startsWith("$")) return capability(fields, query.slice(1).split("."));
  if (!Array.isArray(query)) return query;
  if (query.length === 0) return true;
  const [operator, ...args] = query;
  const apply = typeof operator === "string" && Object.hasOwn(OPERATORS, operator) ? OPERATORS[operator] : undefined;
  if (!apply) throw new BadQuery("the hint query has an operator that there is not");
  return apply(args.map((one) => evaluate(one, fields, depth + 1)));
}
