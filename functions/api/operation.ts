/**
 * The API as data: every path with its methods, and for each who may call it, what it takes and since when it is there.
 * Requests are checked by these rows; the OpenAPI document and the tests that walk every route are made of them.
 */
import type { Context, Hono } from "hono";
import type { z } from "zod";
import type { AppEnv } from "./app-env.ts";
import { notFound } from "./fault.ts";
import { type Feature, has } from "./history.ts";
import { type Role, requireRole } from "./policy.ts";
import { resource } from "./resource.ts";
import { jsonBody, query } from "./validate.ts";

/** A schema, or what makes it for 2.<minor>. */
export type Versioned<T> = z.ZodType<T> | ((minor: number) => z.ZodType<T>);

type Row<Q, B> = {
  /** What it does, in a few words, for the reference. */
  summary: string;
  /** Nova's policy rule, and the least role that passes it; more may be asked of the object itself. */
  rule: string;
  role: Role;
  /** The microversions that have it, in any other it is a 404; all of them if absent. */
  on?: Feature;
  /** Absent: the query is not looked at. */
  query?: Versioned<Q>;
  /** Absent: the body is not looked at. */
  body?: Versioned<B>;
  /** Of a body that is one of several: each, by the key that tells it from the others. Told, and checked by `run`. */
  forms?: Readonly<Record<string, z.ZodType>>;
  /** What success answers; several where it depends on the microversion. */
  status: number | readonly number[];
  /** The key under which a body of success has what was asked for; absent where there is no such body, or no one key. */
  answers?: string;
};

/** A row whose schemas are of no one's interest but its own handler's. */
export type Operation = Row<unknown, unknown> & { handle(c: Context<AppEnv>): Promise<Response> };
export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
export type Paths = Readonly<Record<string, Partial<Readonly<Record<Method, Operation>>>>>;

/** One operation. `run` is called with what the schemas made of the request, after version, policy, query and body. */
export function operation<Q, B>(
  row: Row<Q, B> & { run(c: Context<AppEnv>, asked: { query: Q; body: B }): Response | Promise<Response> },
): Operation {
  const [queryAt, bodyAt] = [row.query && remembered(row.query), row.body && remembered(row.body)];
  return {
    ...row,
    async handle(c) {
      admit(c, row);
      const asked = {
        query: queryAt ? query(c, queryAt(c.var.minor)) : undefined,
        body: bodyAt ? await jsonBody(c, bodyAt(c.var.minor)) : undefined,
      };
      // A row without a schema has a handler that knows nothing of its value.
      return row.run(c, asked as { query: Q; body: B });
    },
  };
}

/** Throws unless 2.<minor> has the row and the caller may use it. */
export function admit(c: Context<AppEnv>, { on, role, rule }: { on?: Feature; role: Role; rule: string }): void {
  if (on !== undefined && !has(c.var.minor, on)) throw notFound("The resource could not be found.");
  requireRole(c, role, rule);
}

/** The schema that holds at 2.<minor>. */
export function at<T>(schema: Versioned<T>, minor: number): z.ZodType<T> {
  return typeof schema === "function" ? schema(minor) : schema;
}

/** As `at`, each schema made once: making one takes as long as checking a body by it. */
export function remembered<T>(schema: Versioned<T>): (minor: number) => z.ZodType<T> {
  const made = new Map<number, z.ZodType<T>>();
  return (minor) => {
    const known = made.get(minor) ?? at(schema, minor);
    made.set(minor, known);
    return known;
  };
}

/** Serves `paths`. */
export function mount(app: Hono<AppEnv>, paths: Paths): void {
  for (const [path, operations] of Object.entries(paths)) {
    const handlers = Object.entries(operations).map(([method, { handle }]) => [method, handle]);
    resource(app, path, Object.fromEntries(handlers));
  }
}
