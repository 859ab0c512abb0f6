/** What links to screens and their sessions are asked with. */
import { z } from "zod";
import { isAddresses } from "../../console/link.ts";
import { MAX_LABEL_CHARS, SHARING } from "../../protocol/console.ts";
import { PIN } from "../../protocol/console-session.ts";
import { last, truth, whole } from "./list.ts";

const MAX_ADDRESSES = 64;
/** A year. */
const MAX_SECONDS = 31_536_000;

const label = z
  .string()
  .max(MAX_LABEL_CHARS)
  .regex(/^[^\p{Cc}\p{Cs}\p{Zl}\p{Zp}]*$/u, "It has characters that cannot be printed.");

const link = z.strictObject({
  rights: z.enum(["view", "control"]).default("control"),
  /** Both ways; as `rights` is control, unless told. */
  clipboard: z.boolean().optional(),
  power: z.boolean().default(false),
  /** Seconds. */
  expires_in: z.int().min(1).max(MAX_SECONDS).default(86_400),
  /** Sessions that it opens; null: any number. */
  uses: z.int().min(1).max(1_000_000).nullable().default(null),
  pin: z.string().regex(PIN, "A PIN is 4 to 12 digits.").optional(),
  addresses: z
    .array(z.string().max(64).refine(isAddresses, "It is no IP address and no network of them."))
    .max(MAX_ADDRESSES)
    .default([]),
  label: label.default(""),
  /** Whether a session that is open when the link expires ends. */
  ends_sessions: z.boolean().default(false),
});
export const createConsoleLink = z.strictObject({ console_link: link });
export type CreateConsoleLink = z.infer<typeof link>;

export const updateSharing = z.strictObject({ console_sharing: z.strictObject({ sharing: z.enum(SHARING) }) });

export const listConsoleSessions = z.strictObject({
  /** Bare `all_tenants` means yes. */
  all_tenants: last
    .transform((text) => text || "true")
    .pipe(truth)
    .optional(),
  open: last.pipe(truth).optional(),
  server: last.optional(),
  limit: whole.optional(),
  marker: last.optional(),
});
export type ListConsoleSessions = z.infer<typeof listConsoleSessions>;
