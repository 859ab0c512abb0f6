/** Our schemas as JSON Schema 2020-12, which is what OpenAPI 3.1 has for schemas. */
import { z } from "zod";

/** The part of JSON Schema that our schemas come to. */
export type JsonSchema = {
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  pattern?: string;
  minimum?: number;
  maximum?: number;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  additionalProperties?: boolean | JsonSchema;
  propertyNames?: JsonSchema;
  items?: JsonSchema;
  minProperties?: number;
  contentEncoding?: string;
  examples?: unknown[];
  minItems?: number;
  maxItems?: number;
  anyOf?: JsonSchema[];
  [other: string]: unknown;
};

/**
 * What a caller may send: what a schema makes of it, and rules that are code, are not told.
 * A value that this refuses is refused by `schema` too.
 */
export function jsonSchema(schema: z.ZodType): JsonSchema {
  // zod's own type has more than its output: forms of older drafts, and keywords that are there and undefined.
  const { $schema, ...made } = z.toJSONSchema(schema, {
    target: "draft-2020-12",
    io: "input",
    unrepresentable: "any",
    override: ({ zodSchema, jsonSchema: part }) => {
      if (zodSchema instanceof z.ZodPipe && zodSchema.out instanceof z.ZodType)
        addRules(part as JsonSchema, jsonSchema(zodSchema.out));
      // The largest numbers that JavaScript counts with are no rule of the API's.
      if (part.minimum === Number.MIN_SAFE_INTEGER) delete part.minimum;
      if (part.maximum === Number.MAX_SAFE_INTEGER) delete part.maximum;
    },
  });
  return made as JsonSchema;
}

/** What a pipe's end asks for, where it says something of its beginning: the bounds of a number that may come as digits, too. */
function addRules(part: JsonSchema, end: JsonSchema): void {
  if (part.type === "string" && end.contentEncoding) part.contentEncoding = end.contentEncoding;
  // Other ways to write the same may be taken too.
  if (part.type === "string" && end.enum && !part.enum) part.examples = end.enum;
  for (const form of part.anyOf ?? [part]) {
    if (form.type !== "integer" && form.type !== "number") continue;
    for (const bound of ["minimum", "maximum", "exclusiveMinimum"])
      if (end[bound] !== undefined) form[bound] = end[bound];
  }
}
