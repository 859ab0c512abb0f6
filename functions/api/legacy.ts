/**
 * The /v2 endpoint (nova/api/openstack/compute/wsgi: LegacyV2CompatibleWrapper, and the schemas of version 2.0): clients
 * from before microversions. It answers as 2.1 does, says nothing of versions, and overlooks in bodies what 2.1 refuses.
 */
import { createMiddleware } from "hono/factory";
import type { z } from "zod";
import type { AppEnv } from "./app-env.ts";
import { MIN_MINOR } from "./microversion.ts";

/** Takes the place of `microversion`. */
export const legacy = createMiddleware<AppEnv>(async (c, next) => {
  c.set("legacy", true);
  c.set("minor", MIN_MINOR);
  await next();
});

/** Texts whose blanks at the edges are overlooked; what users name themselves is left as it is. */
const TRIMMED: readonly string[] = ["name", "availability_zone"];
const USERS_OWN: readonly string[] = ["metadata", "extra_specs", "meta"];

/** A body without the properties that the schema does not know, and without the blanks around names. */
export function overlooked<T>(schema: z.ZodType<T>, body: unknown): unknown {
  const value = trimmed(body);
  // Each turn takes away at least one property, and uncovers at most those below it.
  while (true) {
    const unknown = schema.safeParse(value).error?.issues.filter((issue) => issue.code === "unrecognized_keys") ?? [];
    if (unknown.length === 0) return value;
    for (const { path, keys } of unknown) {
      const parent = path.reduce<unknown>(
        (inner, key) => (isObject(inner) ? Reflect.get(inner, key) : undefined),
        value,
      );
      if (isObject(parent)) for (const key of keys) Reflect.deleteProperty(parent, key);
    }
  }
}

/** A copy. */
function trimmed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(trimmed);
  if (!isObject(value)) return value;
  const rows = Object.entries(value).map(([key, inner]): [string, unknown] => {
    if (USERS_OWN.includes(key)) return [key, structuredClone(inner)];
    return [key, typeof inner === "string" && TRIMMED.includes(key) ? inner.trim() : trimmed(inner)];
  });
  return Object.fromEntries(rows);
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}
