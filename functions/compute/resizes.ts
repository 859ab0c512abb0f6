/**
 * Servers that are resized on the host where they are: it holds both sizes until one of them is given up, by who claimed
 * the new one in vain or by what the agent has done. In Placement the migration holds the old one meanwhile.
 */
import type { Method } from "../protocol/methods.ts";
import type { CallRequest } from "./call.ts";
import type { Calls } from "./calls.ts";
import type { ClaimRequest } from "./claims.ts";
import type { HostStore, Size } from "./host-store.ts";

/** What is left when a call is done. */
const KEEPS: Partial<Record<Method, Size>> = { confirm_migration: "new", finish_revert_migration: "old" };

export type ResizesParts = {
  store: HostStore;
  calls: Calls;
  /** Work that goes on by itself. */
  later(work: Promise<unknown>): void;
};

export class Resizes {
  readonly #parts: ResizesParts;

  constructor(parts: ResizesParts) {
    this.#parts = parts;
  }

  /** "held": the server has the other size already. Null: it may, if there is room. Else why not. */
  asked({ server, generation }: Pick<ClaimRequest, "server" | "generation">) {
    const { store } = this.#parts;
    const begun = store.resize(server);
    if (store.allocation(server) === null) return "dismissed";
    if (begun === null || (begun.ended && begun.generation < generation)) return null;
    if (begun.generation < generation) return "leaving";
    return begun.generation === generation && !begun.ended ? "held" : "dismissed";
  }

  /** Has the agent end a resize that nobody goes on with, if there is one; then its size is given up. */
  settle(server: string, keep: Size, generation: number): void {
    const { store, calls, later } = this.#parts;
    const isEnding = store.openCallsOf(server).some((call) => KEEPS[call.method]);
    if (store.resize(server)?.ended !== 0 || isEnding) return;
    const method = keep === "new" ? "confirm_migration" : "finish_revert_migration";
    const id = `${server}:${generation}:${crypto.randomUUID()}`;
    later(calls.call({ id, server, generation, method, params: {} }));
  }

  /** A call was done: whether it ended one. */
  done({ server, method }: Pick<CallRequest, "server" | "method">): boolean {
    const { store } = this.#parts;
    const keep = KEEPS[method];
    const begun = keep === undefined ? null : store.resize(server);
    if (keep === undefined || begun?.ended !== 0) return false;
    store.endResize(server, keep, begun.generation);
    return true;
  }
}
