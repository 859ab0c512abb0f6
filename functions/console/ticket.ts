/**
 * What lets an agent into one console session: signed with TOKEN_KEY, so that the Worker turns a guess away
 * without waking an object. The browser's token and this ticket are different secrets for the two sides.
 */
import { z } from "zod";
import { readSigned, signFor } from "../identity/signed.ts";

const AUDIENCE = "edgenova-console";
const claims = z.object({ console: z.string().regex(/^[0-9a-f]{64}$/), session: z.uuid() });
export type Ticket = z.infer<typeof claims>;

/** @param lifeSeconds how long the agent may take to come */
export function signTicket(env: Env, ticket: Ticket, lifeSeconds: number): Promise<string> {
  return signFor(env, AUDIENCE, { ...ticket, exp: Math.floor(Date.now() / 1000) + lifeSeconds });
}

/** The ticket in a bearer, or null when it is not one of ours or is too old. */
export function readTicket(env: Env, bearer: string): Promise<Ticket | null> {
  return readSigned(env, AUDIENCE, claims, bearer);
}
