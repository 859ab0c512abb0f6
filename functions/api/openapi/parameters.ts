/** Parameters of an operation: in its path, and in its query by the query's schema. */
import { z } from "zod";
import type { Range } from "../history.ts";
import type { Versioned } from "../operation.ts";
import { annotated, formsOf } from "./changes.ts";
import { type JsonSchema, jsonSchema } from "./json-schema.ts";

export type Parameter = {
  name: string;
  in: "path" | "query" | "header";
  required?: boolean;
  description?: string;
  schema: JsonSchema;
};

/** `/servers/:id/tags/:tag` as `/servers/{id}/tags/{tag}`; what may follow of any length is `{rest}`. */
export function template(path: string): string {
  return path.replace(/:([a-z_]+)/g, "{$1}").replace(/\*$/, "{rest}");
}

export function pathParameters(path: string): Parameter[] {
  const server = /^\/servers\/:id/.test(path);
  return [...template(path).matchAll(/\{([a-z_]+)\}/g)].map(([, name = ""]) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string", ...(server && name === "id" ? { format: "uuid" } : {}) },
  }));
}

/** A query's schema is an object of lists: each parameter may be repeated. */
export function queryParameters(schema: Versioned<unknown>, range: Range): Parameter[] {
  const { properties = {}, required = [] } = annotated(formsOf(schema, range, queryJson));
  return Object.entries(properties).map(([name, property]) => ({
    name,
    in: "query",
    ...(required.includes(name) ? { required: true } : {}),
    schema: property,
  }));
}

function queryJson(schema: z.ZodType): JsonSchema {
  const json = jsonSchema(schema);
  if (!(schema instanceof z.ZodObject)) return json;
  const shape: Record<string, unknown> = schema.shape;
  const properties = Object.entries(json.properties ?? {}).map(([name, property]) => [
    name,
    single(shape[name], property),
  ]);
  return { ...json, properties: Object.fromEntries(properties) };
}

/** What one value must be where of several one is taken; the list where all of them count. */
function single(schema: unknown, json: JsonSchema): JsonSchema {
  if (schema instanceof z.ZodOptional) return single(schema.unwrap(), json);
  if (!(schema instanceof z.ZodPipe)) return json;
  const { out } = schema;
  if (out instanceof z.ZodTransform)
    return schema.in instanceof z.ZodPipe ? single(schema.in, json) : (json.items ?? json);
  return out instanceof z.ZodType ? { ...json.items, ...jsonSchema(out) } : json;
}
