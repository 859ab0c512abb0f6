/** What an owner may change of a server without touching its guest: metadata, tags, name, description. Pure. */
import { err, ok, type Result } from "../result.ts";
import type { ServerRecord } from "./record.ts";
import type { Conflict, VmState } from "./state.ts";

/** nova: MAX_TAG_COUNT of objects/instance.py. */
export const MAX_TAGS = 50;

type Said = "display_name" | "description" | "hostname" | "disk_config" | "access_ip_v4" | "access_ip_v6";
export type Details = Partial<Pick<ServerRecord, Said | "metadata" | "tags">>;
/** More metadata on one server than its owner may write. */
export type TooManyItems = { kind: "too_many_items"; limit: number };
export type DetailsError = Conflict | { kind: "no_such_key" } | TooManyItems | { kind: "too_many_tags"; limit: number };

/** A change of the details, and whether the thing it names was new. */
export type DetailsChange =
  | { of: "metadata"; do: "merge" | "replace"; items: Record<string, string> }
  | { of: "metadata"; do: "delete"; key: string }
  | { of: "tags"; do: "replace"; tags: string[] }
  | { of: "tags"; do: "add" | "delete"; tag: string }
  | { of: "server"; change: Pick<Details, Said> };

const WRITABLE: readonly VmState[] = ["active", "stopped"];

/**
 * What `change` makes of the record; `isNew` tells whether a tag was not there before. `maxItems` is the quota of
 * metadata, -1 for none.
 */
export function applyDetails(
  record: ServerRecord,
  change: DetailsChange,
  maxItems: number,
): Result<{ details: Details; isNew: boolean }, DetailsError> {
  if (change.of === "server") return ok({ details: change.change, isNew: false });
  if (!WRITABLE.includes(record.vm_state)) {
    const verb = `${change.do === "delete" ? "delete" : "update"} ${change.of}`;
    return err({ kind: "invalid_state", verb, attr: "vm_state", state: record.vm_state });
  }
  return change.of === "metadata" ? metadata(record, change, maxItems) : tags(record, change);
}

/** The refusal of so much metadata, if the quota of it refuses it; -1 is none. */
export function tooManyItems(items: Record<string, string>, limit: number): TooManyItems | null {
  return limit !== -1 && Object.keys(items).length > limit ? { kind: "too_many_items", limit } : null;
}

function metadata(record: ServerRecord, change: Extract<DetailsChange, { of: "metadata" }>, maxItems: number) {
  if (change.do === "delete") {
    if (!Object.hasOwn(record.metadata, change.key)) return err({ kind: "no_such_key" as const });
    const { [change.key]: _, ...left } = record.metadata;
    return ok({ details: { metadata: left }, isNew: false });
  }
  const items = change.do === "replace" ? change.items : { ...record.metadata, ...change.items };
  const tooMany = tooManyItems(items, maxItems);
  if (tooMany !== null) return err(tooMany);
  return ok({ details: { metadata: items }, isNew: false });
}

function tags(record: ServerRecord, change: Extract<DetailsChange, { of: "tags" }>) {
  if (change.do === "replace") return ok({ details: { tags: change.tags }, isNew: false });
  const has = record.tags.includes(change.tag);
  const others = record.tags.filter((tag) => tag !== change.tag);
  if (change.do === "delete") {
    return has ? ok({ details: { tags: others }, isNew: false }) : err({ kind: "no_such_key" as const });
  }
  if (!has && record.tags.length >= MAX_TAGS) return err({ kind: "too_many_tags" as const, limit: MAX_TAGS });
  return ok({ details: { tags: has ? record.tags : [...record.tags, change.tag] }, isNew: !has });
}
