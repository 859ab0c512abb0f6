/**
 * Which filters and weighers there are, and which of them run, by the options of the seed's meaning. A collection is
 * a list of: `all_filters` (`all_weighers`), those in the box; `./a/folder`, the operator's own, taken in by the
 * build; `Name=BINDING:pass` or `Name=BINDING:fail`, a Worker of theirs, and what counts when it fails.
 */
import { z } from "zod";
import type { Config } from "../config.ts";
import {
  type BoundFilter,
  type BoundWeigher,
  boundFilter,
  boundWeigher,
  type FilterService,
  type OnFailure,
  type WeighService,
} from "./bound.ts";
import type { AnyFilter } from "./filter-hosts.ts";
import { ALL_FILTERS } from "./filters/all.ts";
import type { Filter } from "./filters/filter.ts";
import { SCHEDULER_OPTIONS } from "./options.ts";
import { OWN } from "./own.ts";
import type { AnyWeigher } from "./weigh-hosts.ts";
import { ALL_WEIGHERS } from "./weighers/all.ts";
import type { Weigher } from "./weighers/weigher.ts";

type Options = Pick<
  Config,
  | "SCHEDULER_AVAILABLE_FILTERS"
  | "SCHEDULER_ENABLED_FILTERS"
  | "SCHEDULER_AVAILABLE_WEIGHERS"
  | "SCHEDULER_WEIGHT_CLASSES"
  | "SCHEDULER_BINDING_TIMEOUT"
>;
/** Folders as build.ts took them in. */
type Own = typeof OWN;
type Kind<T, S, B> = {
  option: string;
  all: string;
  inTheBox: readonly T[];
  is(value: unknown): value is T;
  serves(value: unknown): value is S;
  bind(bound: { name: string; service: S; onFailure: OnFailure; timeoutMs: number }): B;
};

const BOUND = /^(\w+)=(\w+):(pass|fail)$/;

const has = (value: unknown, ...names: string[]) =>
  (typeof value === "object" || typeof value === "function") && value !== null && names.every((name) => name in value);

const FILTERS: Kind<Filter, FilterService, BoundFilter> = {
  option: "SCHEDULER_AVAILABLE_FILTERS",
  all: "all_filters",
  inTheBox: ALL_FILTERS,
  is: (value): value is Filter => has(value, "name", "ask") && !has(value, "multiplier"),
  serves: (value): value is FilterService => has(value, "fetch"),
  bind: boundFilter,
};
const WEIGHERS: Kind<Weigher, WeighService, BoundWeigher> = {
  option: "SCHEDULER_AVAILABLE_WEIGHERS",
  all: "all_weighers",
  inTheBox: ALL_WEIGHERS,
  is: (value): value is Weigher => has(value, "name", "ask", "multiplier", "option"),
  serves: (value): value is WeighService => has(value, "fetch"),
  bind: boundWeigher,
};

/** The filters to run, in their order; throws an Error that names what is not there, and what is. */
export function enabledFilters(options: Options, env: object, own: Own = OWN): AnyFilter[] {
  const known = collect(FILTERS, options.SCHEDULER_AVAILABLE_FILTERS, options, env, own);
  return byName("SCHEDULER_ENABLED_FILTERS", known, options.SCHEDULER_ENABLED_FILTERS);
}

/** The weighers to run; `all_weighers` is every one that there is. */
export function enabledWeighers(options: Options, env: object, own: Own = OWN): AnyWeigher[] {
  const known = collect(WEIGHERS, options.SCHEDULER_AVAILABLE_WEIGHERS, options, env, own);
  const names = options.SCHEDULER_WEIGHT_CLASSES.flatMap((name) =>
    name === WEIGHERS.all ? known.map((one) => one.name) : [name],
  );
  return byName("SCHEDULER_WEIGHT_CLASSES", known, [...new Set(names)]);
}

/** Throws what `enabledFilters` and `enabledWeighers` would, at the Worker's start; secrets need not be there yet. */
export function checkPlugins(env: object): void {
  const options = z.object(SCHEDULER_OPTIONS).parse(env);
  enabledFilters(options, env);
  enabledWeighers(options, env);
}

function collect<T extends { name: string }, S, B extends { name: string }>(
  kind: Kind<T, S, B>,
  collections: readonly string[],
  options: Options,
  env: object,
  own: Own,
): (T | B)[] {
  const found = collections.flatMap((entry): readonly (T | B)[] => {
    if (entry === kind.all) return kind.inTheBox;
    const [, name, binding = "", onFailure] = BOUND.exec(entry) ?? [];
    if (name === undefined || onFailure === undefined) return fromFolder(kind, entry, own);
    const service: unknown = Object.entries(env).find(([key]) => key === binding)?.[1];
    if (!kind.serves(service)) throw new Error(`${kind.option}: ${binding} of ${name} is no service binding`);
    const timeoutMs = options.SCHEDULER_BINDING_TIMEOUT * 1000;
    return [kind.bind({ name, service, timeoutMs, onFailure: onFailure === "pass" ? "pass" : "fail" })];
  });
  const names = found.map(({ name }) => name);
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined) throw new Error(`${kind.option}: there are two of the name ${twice}`);
  return found;
}

function fromFolder<T>(kind: Pick<Kind<T, unknown, unknown>, "option" | "all" | "is">, folder: string, own: Own): T[] {
  const modules = Object.hasOwn(own, folder) ? own[folder] : undefined;
  if (modules === undefined) {
    throw new Error(
      `${kind.option}: ${folder} is neither ${kind.all}, nor Name=BINDING:pass, nor a folder in this build`,
    );
  }
  return modules.flatMap((module) => Object.values(module).filter(kind.is));
}

/** The entries of `all` that `names` lists, in that order; throws with the known names when one is unknown. */
function byName<T extends { name: string }>(option: string, all: readonly T[], names: readonly string[]): T[] {
  return names.map((name) => {
    const found = all.find((one) => one.name === name);
    if (found) return found;
    throw new Error(`${option}: ${name} is not one of ${all.map((one) => one.name).join(", ")}`);
  });
}
