/** Pages of lists that are small enough to be whole in memory (nova/api/openstack/common.py). */
import type { Context } from "hono";
import { config } from "../config.ts";
import type { AppEnv } from "./app-env.ts";
import { badRequest } from "./fault.ts";
import { nextLink } from "./resource.ts";

type Asked = { limit?: number | undefined; marker?: string | undefined };

/** The page of `all` after the marker, and the link to the next one, if the page is full. */
export function paged<T>(
  c: Context<AppEnv>,
  { all, idOf, path, asked }: { all: readonly T[]; idOf: (one: T) => string; path: string; asked: Asked },
): { page: T[]; next: ReturnType<typeof nextLink> | undefined } {
  let from = 0;
  if (asked.marker !== undefined) {
    from = all.findIndex((one) => idOf(one) === asked.marker) + 1;
    if (from === 0) throw badRequest(`marker [${asked.marker}] not found`);
  }
  const { MAX_LIMIT } = config(c.env);
  const limit = Math.min(asked.limit ?? MAX_LIMIT, MAX_LIMIT);
  const page = all.slice(from, from + limit);
  const last = page.length === limit ? page.at(-1) : undefined;
  return { page, next: last && nextLink(c, path, idOf(last)) };
}
