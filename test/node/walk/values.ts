/** Values for a JSON Schema: one that it takes, and at every place in it those that may be wrong. */
import type { JsonSchema } from "../../../functions/api/openapi/json-schema.ts";

/** What strings are tried for a pattern: of the kinds that the API knows. A new kind needs a new one here. */
const STRINGS = [
  "x1",
  "1",
  "2468",
  "true",
  "aaaa",
  "10.0.0.1",
  "fe80::1",
  "/dev/vda",
  "/0a",
  "11111111-1111-4111-8111-111111111111",
  "2026-01-01T00:00:00Z",
];

/** The least that the schema takes. */
export function example(schema: JsonSchema): unknown {
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  if (schema.examples) return schema.examples[0];
  const forms = schema.anyOf ?? [];
  if (forms.some(({ type }) => type === "null")) return null;
  if (forms[0]) return example(forms[0]);
  switch (typesOf(schema)[0]) {
    case "object":
      return exampleObject(schema);
    case "array":
      return Array.from({ length: schema.minItems ?? 0 }, () => example(schema.items ?? {}));
    case "integer":
    case "number":
      return Math.max(schema.minimum ?? 1, 1);
    case "boolean":
      return true;
    case "null":
      return null;
    default:
      return exampleString(schema);
  }
}

function exampleObject(schema: JsonSchema): object {
  const { properties = {}, required = [], minProperties = 0, additionalProperties: others } = schema;
  const least = Math.max(0, minProperties - required.length);
  const more = Object.keys(properties).filter((key) => !required.includes(key));
  const named = Object.fromEntries(
    [...required, ...more.slice(0, least)].map((key) => [key, example(properties[key] ?? {})]),
  );
  if (Object.keys(named).length >= minProperties || typeof others !== "object") return named;
  return { ...named, [exampleString(schema.propertyNames ?? {})]: example(others) };
}

function exampleString({ pattern, contentEncoding }: JsonSchema): string {
  if (contentEncoding === "base64") return "aaaa";
  const fits = STRINGS.find((text) => pattern === undefined || new RegExp(pattern, "u").test(text));
  if (fits === undefined) throw new Error(`none of values.ts's strings fits ${pattern}`);
  return fits;
}

export type Placed = { path: string[]; value: unknown; body: unknown };

/** One of every type. */
const TYPES: unknown[] = [null, true, 7, 1.5, "text", [], {}];
/** What parsers and those behind them stumble over. */
const HOSTILE: unknown[] = [-1, 1e308, "", "\u0000", "\ud800", "x".repeat(70_000), [[]], { constructor: 1 }];

/** At each place of a body that is otherwise good, a value of each type that the schema has not there. */
export function forbidden(root: JsonSchema): Placed[] {
  return placed(root, TYPES, (value, types) => !typesOfValue(value).some((type) => types.includes(type)));
}

/** At each place, what is of a right type and may be wrong all the same. */
export function doubtful(root: JsonSchema): Placed[] {
  return placed(root, [...TYPES, ...HOSTILE], (value, types) =>
    typesOfValue(value).some((type) => types.includes(type)),
  );
}

function placed(root: JsonSchema, values: unknown[], wanted: (value: unknown, types: string[]) => boolean): Placed[] {
  return [...places(root)]
    .filter(({ path }) => path.length > 0)
    .flatMap(({ path, schema, body }) => {
      const types = typesOf(schema);
      return values.filter((value) => wanted(value, types)).map((value) => ({ path, value, body: body(value) }));
    });
}

/** A field that nobody knows, in each object that is closed to others. */
export function* unknownFields(root: JsonSchema): Generator<Pick<Placed, "path" | "body">> {
  for (const { path, schema, body } of places(root))
    for (const form of schema.anyOf ?? [schema])
      if (form.additionalProperties === false)
        yield { path: [...path, "nonsense"], body: body({ ...(example(form) as object), nonsense: 1 }) };
}

type Place = { path: string[]; schema: JsonSchema; body: (value: unknown) => unknown };

/** Every place in a schema, with what puts a value there. */
function* places(schema: JsonSchema, path: string[] = [], body: Place["body"] = (value) => value): Generator<Place> {
  yield { path, schema, body };
  for (const form of schema.anyOf ?? [schema]) {
    const least = example(form) as object;
    const inside = { ...form.properties };
    if (typeof form.additionalProperties === "object" && Object.keys(inside).length === 0)
      inside[exampleString(form.propertyNames ?? {})] = form.additionalProperties;
    for (const [key, inner] of Object.entries(inside))
      yield* places(inner, [...path, key], (value) => body({ ...least, [key]: value }));
    if (form.items) yield* places(form.items, [...path, "0"], (value) => body([value]));
  }
}

const ALL_TYPES = ["string", "object", "array", "number", "integer", "boolean", "null"];

function typesOf({ type, anyOf, const: only, enum: few }: JsonSchema): string[] {
  if (anyOf) return anyOf.flatMap(typesOf);
  if (only !== undefined) return typesOfValue(only);
  if (few) return few.flatMap(typesOfValue);
  return type === undefined ? ALL_TYPES : [type].flat();
}

function typesOfValue(value: unknown): string[] {
  if (value === null) return ["null"];
  if (Array.isArray(value)) return ["array"];
  if (typeof value === "number") return Number.isInteger(value) ? ["integer", "number"] : ["number"];
  return [typeof value];
}

/** At each place in a good body, a value of each other type; `null` is often nothing, and left out. */
export function retyped(
  good: unknown,
  path: string[] = [],
  put: (value: unknown) => unknown = (value) => value,
): Placed[] {
  const own = typesOfValue(good);
  const others = TYPES.filter((value) => value !== null && !typesOfValue(value).some((type) => own.includes(type)));
  const here = path.length === 0 ? [] : others.map((value) => ({ path, value, body: put(value) }));
  if (typeof good !== "object" || good === null) return here;
  const inside = Object.entries(good).flatMap(([key, inner]) =>
    retyped(inner, [...path, key], (value) =>
      put(Array.isArray(good) ? good.toSpliced(Number(key), 1, value) : { ...good, [key]: value }),
    ),
  );
  return [...here, ...inside];
}
