/**
 * The API's tables, seen through types of their own: the types of the Workers' runtime, which the tables' handlers
 * speak of, and those of Node and the DOM do not go together in one program.
 */
import type { z } from "zod";
import type { Feature } from "../../../functions/api/history.ts";

export type Role = "reader" | "member" | "manager" | "admin" | "service";
export type Versioned = z.ZodType | ((minor: number) => z.ZodType);
/** What an operation and an action of a server have in common. */
export type Rules = { role: Role; on?: Feature; status: number | readonly number[] };
export type Operation = Rules & {
  query?: Versioned;
  body?: Versioned;
  forms?: Record<string, z.ZodType>;
  answers?: string;
};
export type Action = Rules & { value?: Versioned };

const path = (file: string) => new URL(`../../../functions/api/${file}`, import.meta.url).href;
const app: Promise<{
  createApp(): { routes: { method: string; path: string }[] };
  RESOURCES: readonly Record<string, Record<string, Operation>>[];
}> = import(path("app.ts"));
const actions: Promise<{ SERVER_ACTIONS: Record<string, Action> }> = import(path("server-actions.ts"));
const microversion: Promise<{ MAX_MINOR: number }> = import(path("microversion.ts"));

export const { createApp, RESOURCES } = await app;
export const { SERVER_ACTIONS } = await actions;
export const { MAX_MINOR } = await microversion;
