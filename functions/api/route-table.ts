/**
 * A router for a thousand routes. Hono's fast one, a regular expression, cannot have `/servers/detail` beside
 * `/servers/:id`, and one such pair sends every request to its slow one. So paths without parameters are apart, and come
 * first; what is for all below a path is in both.
 */
import type { Result, Router } from "hono/router";
import { RegExpRouter } from "hono/router/reg-exp-router";
import { SmartRouter } from "hono/router/smart-router";
import { TrieRouter } from "hono/router/trie-router";

export class RouteTable<T> implements Router<T> {
  readonly name = "RouteTable";
  readonly #fixed = router<T>();
  readonly #open = router<T>();
  readonly #fixedPaths = new Set<string>();

  add(method: string, path: string, handler: T): void {
    const open = path.includes(":");
    if (!open && !path.includes("*")) this.#fixedPaths.add(path);
    else this.#open.add(method, path, handler);
    if (!open) this.#fixed.add(method, path, handler);
  }

  match(method: string, path: string): Result<T> {
    return (this.#fixedPaths.has(path) ? this.#fixed : this.#open).match(method, path);
  }
}

const router = <T>() => new SmartRouter<T>({ routers: [new RegExpRouter(), new TrieRouter()] });
