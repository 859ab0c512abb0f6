/** Every row of the compute API, as what the walk takes one by one. */

import { z } from "zod";
import { has } from "../../../functions/api/history.ts";
import { type JsonSchema, jsonSchema } from "../../../functions/api/openapi/json-schema.ts";
import { createApp, MAX_MINOR, type Operation, RESOURCES, SERVER_ACTIONS, type Versioned } from "./api.ts";

export type Row = Operation & {
  name: string;
  method: string;
  path: string;
};

const ACTION = "/servers/:id/action";

/** The operations by method and path; where the body's key says what is meant, by that too. */
export const ROWS: Row[] = RESOURCES.flatMap((paths) =>
  Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).flatMap(([method, operation]): Row[] =>
      path === ACTION ? actions() : formsOf(operation, method, path),
    ),
  ),
);

function formsOf(operation: Operation, method: string, path: string): Row[] {
  const row = { ...operation, method, path };
  if (!operation.forms) return [{ ...row, name: `${method} ${path}` }];
  return Object.entries(operation.forms).map(([key, body]) => ({ ...row, body, name: `${key} of ${path}` }));
}

function actions(): Row[] {
  return Object.entries(SERVER_ACTIONS).map(([key, { value, ...row }]) => {
    const schema: Versioned = (minor) => z.strictObject({ [key]: value ? at(value, minor) : z.unknown() });
    return { ...row, body: schema, name: `${key} of ${ACTION}`, method: "POST", path: ACTION };
  });
}

const at = (schema: Versioned, minor: number) => (typeof schema === "function" ? schema(minor) : schema);

/** The minors at which to ask for a row: where the API is old, in between and new, and where the row changes. */
export function minorsOf({ on }: Pick<Row, "on">): number[] {
  const all = Array.from({ length: MAX_MINOR }, (_, i) => i + 1);
  const there = all.filter((minor) => on === undefined || has(minor, on));
  const wanted = [there[0], 37, 60, 79, 96, there.at(-1)];
  return [...new Set(wanted)].filter((minor) => minor !== undefined).filter((minor) => there.includes(minor));
}

/** The minors at which a row does not exist. */
export function minorsWithout({ on }: Pick<Row, "on">): number[] {
  if (on === undefined) return [];
  const all = Array.from({ length: MAX_MINOR }, (_, i) => i + 1);
  const there = all.filter((minor) => has(minor, on));
  return [(there[0] ?? 0) - 1, (there.at(-1) ?? MAX_MINOR) + 1].filter((minor) => all.includes(minor));
}

/** The forms that a schema has had at the minors at which its row is asked for, each with one of them. */
export function forms(row: Row, part: "body" | "query"): { minor: number; schema: z.ZodType; json: JsonSchema }[] {
  const given = row[part];
  if (given === undefined) return [];
  const seen = new Set<string>();
  return minorsOf(row).flatMap((minor) => {
    const schema = at(given, minor);
    const json = jsonSchema(schema);
    const text = JSON.stringify(json);
    if (seen.has(text)) return [];
    seen.add(text);
    return [{ minor, schema, json }];
  });
}

/**
 * The path with a value for each parameter: `idOf` is told what stands before it, and its name.
 * A rest of any length is "x".
 */
export function filled(path: string, idOf: (collection: string, name: string) => string): string {
  const parts = path.split("/");
  return parts
    .map((part, i) => {
      if (part.startsWith(":")) return encodeURIComponent(idOf(parts[i - 1] ?? "", part.slice(1)));
      return part === "*" ? "x" : part;
    })
    .join("/");
}

/** What stands before a path of the compute API: each form of Nova's URLs. */
export const COMPUTE = /^\/compute\/v2(\.1)?(\/:project\{[^}]*\})?(?=\/)/;

/** Method and path of all that the Worker serves, as its router knows it. */
export const REGISTERED: readonly { method: string; path: string }[] = createApp()
  .routes.filter(({ method }) => method !== "ALL")
  .map(({ method, path }) => ({ method, path }));
