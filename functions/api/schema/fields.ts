/** Nova's field rules that several resources share (nova/api/validation/parameter_types.py). */
import { z } from "zod";

/** 1 to 255 printable characters, spaces inside, none at the edges. */
export const name = z
  .string()
  .min(1)
  .max(255)
  .regex(
    /^(?!\s)[^\p{Cc}\p{Cs}\p{Zl}\p{Zp}]+(?<!\s)$/u,
    "It has characters that cannot be printed, or blanks at an edge.",
  );

export const description = z
  .string()
  .max(255)
  .regex(/^[^\p{Cc}\p{Cs}]*$/u, "It has characters that cannot be printed.")
  .nullable();

/** How many there may be is a quota's matter. */
export const metadata = z.record(
  z.string().regex(/^[a-zA-Z0-9-_:. ]{1,255}$/, "A key has characters that are not allowed."),
  z.string().max(255),
);

export const tag = z.string().regex(/^[^,/]{1,60}$/, "A tag is 1 to 60 characters without ',' and '/'.");

export const tags = z
  .array(tag)
  .max(50)
  .refine((all) => new Set(all).size === all.length, "Tags are not unique.");

/** The name that a guest is told (2.90). */
export const hostname = z
  .string()
  .max(63)
  .regex(/^[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]$/, "It is no host name.");

/** A host's name, with its domain or without. */
export const fqdn = z.string().regex(/^[a-zA-Z0-9._-]{1,255}$/, "It is no host name.");

const TRUE = ["true", "1", "on", "yes", "t", "y"];
const FALSE = ["false", "0", "off", "no", "f", "n"];

/** true, false, and the strings that Nova takes for them. */
export const boolean = z.union([z.boolean(), z.string()]).transform(truth);

export function truth(value: boolean | string, context: z.core.$RefinementCtx): boolean {
  if (typeof value === "boolean") return value;
  if (TRUE.includes(value.toLowerCase())) return true;
  if (FALSE.includes(value.toLowerCase())) return false;
  context.addIssue({ code: "custom", message: `${value.slice(0, 32)} is not a boolean.` });
  return z.NEVER;
}

/** A whole number from `min`, as a number or as digits. */
export const wholeNumber = (min: number) =>
  z
    .union([z.int(), z.string().regex(/^[0-9]{1,10}$/)])
    .transform(Number)
    .pipe(
      z
        .int()
        .min(min)
        .max(2 ** 31 - 1),
    );

/** base64 in lines or in one, of at most `max` characters; without its blanks. */
export const base64 = (max = Number.MAX_SAFE_INTEGER) =>
  z
    .string()
    .max(max)
    .transform((text) => text.replace(/\s/g, ""))
    .pipe(z.base64());
