/** What a schema has had at which microversion, found by comparing its forms. */
import type { z } from "zod";
import { HISTORY, type Range } from "../history.ts";
import { MAX_MINOR, MIN_MINOR } from "../microversion.ts";
import { at, type Versioned } from "../operation.ts";
import { type JsonSchema, jsonSchema } from "./json-schema.ts";

/** A schema's form, and the first microversion 2.<since> that has it. */
export type Form = { since: number; json: JsonSchema };

/** The minors at which anything changes: between two of them all forms are the same. */
const TURNS = [
  ...new Set([
    MIN_MINOR,
    ...Object.values(HISTORY).flatMap(({ since, until }: Range) => [since ?? MIN_MINOR, (until ?? 0) + 1]),
  ]),
]
  .filter((minor) => MIN_MINOR <= minor && minor <= MAX_MINOR)
  .sort((a, b) => a - b);

/** The forms that a schema has had where its operation is there, the oldest first. */
export function formsOf(
  schema: Versioned<unknown>,
  { since = MIN_MINOR, until = MAX_MINOR }: Range,
  toJson: (schema: z.ZodType) => JsonSchema = jsonSchema,
): [Form, ...Form[]] {
  const first = { since, json: toJson(at(schema, since)) };
  const forms: [Form, ...Form[]] = [first];
  if (typeof schema !== "function") return forms;
  let last = JSON.stringify(first.json);
  for (const minor of TURNS.filter((turn) => since < turn && turn <= until)) {
    const json = toJson(at(schema, minor));
    const text = JSON.stringify(json);
    if (text !== last) forms.push({ since: minor, json });
    last = text;
  }
  return forms;
}

/**
 * The newest form, in which each property says under `x-microversions` since when it is there, is required, and when
 * it changed; and each object under `x-removed` which properties it had before.
 */
export function annotated(forms: readonly [Form, ...Form[]]): JsonSchema {
  const { json } = forms.at(-1) ?? forms[0];
  if (forms.length === 1 || json.properties === undefined) return json;
  const properties = Object.fromEntries(
    Object.entries(json.properties).map(([name, property]) => [name, annotatedProperty(name, property, forms)]),
  );
  const removed = Object.fromEntries(removals(json.properties, forms));
  return { ...json, properties, ...(Object.keys(removed).length > 0 ? { "x-removed": removed } : {}) };
}

type Forms = readonly [Form, ...Form[]];

function annotatedProperty(name: string, property: JsonSchema, forms: Forms): JsonSchema {
  const absent = forms.findLastIndex(({ json }) => json.properties?.[name] === undefined);
  const [first, ...later] = forms.slice(absent + 1);
  if (first === undefined) return property;
  const own: Forms = [shapeOf(first, name), ...later.map((form) => shapeOf(form, name))];
  const changed = own.slice(1).flatMap(({ since, json }, i) => (sameRules(json, own[i]?.json) ? [] : [version(since)]));
  const optional = forms.findLastIndex(({ json }) => !json.required?.includes(name));
  const required = forms[optional + 1];
  const told = {
    ...(absent === -1 ? {} : { since: version(first.since) }),
    ...(optional > absent && required ? { required: version(required.since) } : {}),
    ...(changed.length > 0 ? { changed } : {}),
  };
  const inner = annotated(own);
  return Object.keys(told).length > 0 ? { ...inner, "x-microversions": told } : inner;
}

const shapeOf = ({ since, json }: Form, name: string): Form => ({ since, json: json.properties?.[name] ?? {} });

/** Whether all but the properties is the same: those tell of their own changes. */
function sameRules(one: JsonSchema, other: JsonSchema | undefined): boolean {
  const { properties, required, ...rules } = one;
  const { properties: _, required: __, ...others } = other ?? {};
  return JSON.stringify(rules) === JSON.stringify(others);
}

function removals(now: Record<string, JsonSchema>, forms: Forms): [string, object][] {
  const names = new Set(forms.flatMap(({ json }) => Object.keys(json.properties ?? {})));
  return [...names]
    .filter((name) => now[name] === undefined)
    .map((name) => {
      const has = (form: Form) => form.json.properties?.[name] !== undefined;
      const first = forms.findIndex(has);
      const last = forms.findLastIndex(has);
      const until = (forms[last + 1]?.since ?? MAX_MINOR + 1) - 1;
      return [name, { ...(first > 0 ? { since: version(forms[first]?.since ?? 1) } : {}), until: version(until) }];
    });
}

/** As the API writes it. */
export const version = (minor: number) => `2.${minor}`;
