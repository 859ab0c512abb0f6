/** Bodies and queries, parsed by schema, with Nova's words for what is wrong (nova/api/validation/validators.py). */
import type { Context } from "hono";
import type { z } from "zod";
import type { AppEnv } from "./app-env.ts";
import { badRequest, Fault } from "./fault.ts";
import { overlooked } from "./legacy.ts";

/** Longest request body that is parsed as JSON, bytes (nova: oslo_middleware max_request_body_size). */
export const MAX_BODY_BYTES = 114_688;

/** Deeper JSON than any request has; a parser of ours must not recurse on a stranger's word. */
const MAX_DEPTH = 32;

/** The request's body as the schema's value; 400, 413 or 415 when it is not. */
export async function jsonBody<T>(
  c: Context<AppEnv>,
  schema: z.ZodType<T>,
  mediaType = "application/json",
): Promise<T> {
  const type = (c.req.header("content-type") ?? mediaType).split(";")[0]?.trim().toLowerCase();
  if (type !== mediaType) throw new Fault(415, `Unsupported Content-Type ${type}`);
  let value: unknown;
  try {
    value = JSON.parse(await c.req.text());
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw badRequest("Malformed request body");
  }
  const list = Array.isArray(value);
  // Only patches are lists (RFC 6902).
  if (typeof value !== "object" || value === null || list === (mediaType === "application/json")) {
    throw badRequest("Malformed request body");
  }
  if (deeper(value, MAX_DEPTH)) throw badRequest("Malformed request body: it is nested too deeply");
  return parse(schema, value, c.var.legacy);
}

/** A body, or a part of one, as the schema's value; 400 when it is not. `legacy`: with less care. */
export function parse<T>(schema: z.ZodType<T>, value: unknown, legacy?: boolean): T {
  return parsed(
    schema,
    legacy ? overlooked(schema, value) : value,
    (name, value) => `Invalid input for field/attribute ${name}. Value: ${value}.`,
  );
}

/** The request's query as the schema's value. Every parameter comes as the list of its values. */
export function query<T>(c: Context, schema: z.ZodType<T>): T {
  return parsed(
    schema,
    c.req.queries(),
    (name, value) => `Invalid input for query parameters ${name}. Value: ${value}.`,
    1,
  );
}

/** As Nova words what jsonschema found: the last name on the way to it, within `depth`, its value, and why. */
function parsed<T>(
  schema: z.ZodType<T>,
  value: unknown,
  words: (name: string, value: string) => string,
  depth = Number.POSITIVE_INFINITY,
): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = deepest(result.error.issues);
  const at = (path: readonly PropertyKey[]) =>
    path.reduce<unknown>(
      (inner, key) => (typeof inner === "object" && inner !== null ? Reflect.get(inner, key) : undefined),
      value,
    );
  const told = (path: readonly PropertyKey[], why: string) =>
    badRequest(path.length === 0 ? why : `${words(shorten(String(path.at(-1))), shown(at(path)))} ${why}`);
  // Of a key that is wrong the object is told, which has it.
  const path = issue.code === "invalid_key" ? issue.path.slice(0, -1) : issue.path.slice(0, depth);
  if (issue.code === "unrecognized_keys") {
    const keys = issue.keys.map((key) => `'${shorten(key)}'`).join(", ");
    const verb = issue.keys.length === 1 ? "was" : "were";
    throw told(path, `Additional properties are not allowed (${keys} ${verb} unexpected)`);
  }
  if (path.length > 0 && at(path) === undefined) {
    throw told(path.slice(0, -1), `'${String(path.at(-1))}' is a required property`);
  }
  throw told(path, issue.message);
}

/** A text as it is, all else as JSON. */
function shown(value: unknown): string {
  return shorten(typeof value === "string" ? value : (JSON.stringify(value) ?? "undefined"));
}

/** The first issue, or the one inside a union that came furthest. */
function deepest(issues: readonly z.core.$ZodIssue[]): z.core.$ZodIssue {
  const first = issues[0] as z.core.$ZodIssue;
  if (first.code !== "invalid_union") return first;
  const inner = first.errors.map((branch) => branch[0]).filter((issue) => issue !== undefined);
  const furthest = inner.sort((a, b) => b.path.length - a.path.length)[0];
  return furthest && furthest.path.length > 0 ? { ...furthest, path: [...first.path, ...furthest.path] } : first;
}

function deeper(value: unknown, left: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  return left === 0 || Object.values(value).some((inner) => deeper(inner, left - 1));
}

function shorten(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
