/**
 * What a viewer page and the agent say to each other beside RFB, in text frames of JSON, on sessions that were opened
 * with `page`. What neither knows is ignored.
 *
 *   page                          agent
 *     | <- people ---------------- |   first, and whenever anything in it changes
 *     | -- ping: at -------------> |
 *     | <- pong: at -------------- |   the same number back
 *     | -- ask ------------------> |   for control; those who can give it get `asked`
 *     | -- give: to -------------> |   by who has control, or an owner
 *     | -- take -----------------> |   by an owner, or when nobody has it
 *     | -- drop -----------------> |
 */
import { z } from "zod";
import type { Sharing } from "./console.ts";

export const MAX_PAGE_TEXT_BYTES = 256;
export const fromPage = z.discriminatedUnion("t", [
  z.object({ t: z.literal("ping"), at: z.number() }),
  z.object({ t: z.literal("ask") }),
  z.object({ t: z.literal("give"), to: z.int() }),
  z.object({ t: z.literal("take") }),
  z.object({ t: z.literal("drop") }),
]);
export type FromPage = z.infer<typeof fromPage>;

/** `input`: may type when it has control. `owner`: came by the API's own call, not by a link that was handed out. */
export type Person = { id: number; label: string; owner: boolean; input: boolean };
export type ToPage =
  /** `control`: who types; null when nobody does, or with sharing `all` everybody who may. */
  | { t: "people"; you: number; sharing: Sharing; control: number | null; people: Person[] }
  | { t: "asked"; by: number }
  | { t: "pong"; at: number };
