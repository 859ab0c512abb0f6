/** Which images a list shows, in which order, and which page of it (glance: api/v2/images.py index). Pure. */
import { z } from "zod";
import { err, ok, type Result } from "../result.ts";
import type { Image } from "./image.ts";

const SORT_KEYS = [
  "created_at",
  "updated_at",
  "name",
  "status",
  "size",
  "id",
  "disk_format",
  "container_format",
] as const;
type Sort = { key: (typeof SORT_KEYS)[number]; dir: "asc" | "desc" };

const values = z.array(z.string().max(8192));
const last = values.transform((all) => all.at(-1) ?? "");
const digits = last.pipe(z.string().regex(/^[0-9]{1,15}$/)).transform(Number);
const truth = last.pipe(z.string().regex(/^(true|false)$/i)).transform((text) => text.toLowerCase() === "true");

/** Every other parameter is the value of an attribute or of a property; `in:a,b` means one of them. */
export const listImages = z
  .object({
    limit: digits.optional(),
    marker: last.optional(),
    sort: last.optional(),
    sort_key: values.optional(),
    sort_dir: z.array(z.enum(["asc", "desc"])).optional(),
    visibility: last.optional(),
    protected: truth.optional(),
    os_hidden: truth.optional(),
    size_min: digits.optional(),
    size_max: digits.optional(),
    tag: values.optional(),
  })
  .catchall(last);
export type ListImages = z.infer<typeof listImages>;

const EQUAL = [
  "id",
  "name",
  "status",
  "owner",
  "container_format",
  "disk_format",
  "checksum",
  "os_hash_value",
] as const;
const PARAMETERS = new Set([...Object.keys(listImages.shape), "member_status"]);

/** Whether `image`, which the caller may see, is among those asked for. */
export function matches(image: Image, asked: ListImages): boolean {
  const { visibility, tag = [] } = asked;
  // A community image is anyone's to use and nobody's to be shown unasked.
  if (visibility === undefined && image.visibility === "community") return false;
  if (visibility !== undefined && visibility !== "all" && image.visibility !== visibility) return false;
  if (image.os_hidden !== (asked.os_hidden ?? false)) return false;
  if (asked.protected !== undefined && image.protected !== asked.protected) return false;
  if ((image.size ?? 0) < (asked.size_min ?? 0)) return false;
  if ((image.size ?? 0) > (asked.size_max ?? Number.POSITIVE_INFINITY)) return false;
  if (!tag.every((one) => image.tags.includes(one))) return false;
  return Object.entries(asked).every(([key, wanted]) => {
    if (PARAMETERS.has(key) || wanted === undefined) return true;
    const has = (EQUAL as readonly string[]).includes(key) ? image[key as "id"] : image.properties[key];
    const text = String(wanted);
    return text.startsWith("in:") ? text.slice(3).split(",").includes(String(has)) : has === text;
  });
}

/** The order asked for, in either of Glance's two ways; newest first without one. */
export function sortOf({ sort, sort_key, sort_dir }: ListImages): Result<Sort[], string> {
  const given =
    sort !== undefined
      ? sort.split(",").map((part) => part.split(":"))
      : (sort_key ?? ["created_at"]).map((key, i) => [key, sort_dir?.[i] ?? sort_dir?.at(-1) ?? "desc"]);
  const order: Sort[] = [];
  for (const [key, dir = "desc"] of given) {
    const known = SORT_KEYS.find((one) => one === key);
    if (known === undefined || (dir !== "asc" && dir !== "desc"))
      return err(`Invalid sort ${key}:${dir}`.slice(0, 100));
    order.push({ key: known, dir });
  }
  return ok(order);
}

/** Sorts; the id makes the order total. */
export function inOrder(images: readonly Image[], order: readonly Sort[]): Image[] {
  const keys: readonly Sort[] = [...order, { key: "id", dir: "desc" }];
  return [...images].sort((a, b) => {
    for (const { key, dir } of keys) {
      const [x, y] = [a[key] ?? "", b[key] ?? ""];
      if (x !== y) return x < y === (dir === "asc") ? -1 : 1;
    }
    return 0;
  });
}
