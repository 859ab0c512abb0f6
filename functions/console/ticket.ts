/**
 * What lets whom into a console session, each signed with TOKEN_KEY for an audience of its own, so that the Worker turns
 * a guess away without waking an object:
 *
 *   the agent's ticket    its half of one connection
 *   the page's ticket     the browser's half of one connection
 *   the resume key        the next connection of the same session; nothing of it is stored but its number
 */
import { z } from "zod";
import { readSigned, signFor } from "../identity/signed.ts";

const AUDIENCE = { agent: "edgenova-console", screen: "edgenova-screen", resume: "edgenova-resume" } as const;
export type TicketKind = keyof typeof AUDIENCE;

const claims = z.object({ server: z.uuid(), session: z.uuid(), leg: z.int().min(1) });
/** One connection of a session of a server's console. */
export type Ticket = z.infer<typeof claims>;

/** @param lifeSeconds how long the ticket may take to come */
export function signTicket(env: Env, kind: TicketKind, ticket: Ticket, lifeSeconds: number): Promise<string> {
  return signFor(env, AUDIENCE[kind], { ...ticket, exp: Math.floor(Date.now() / 1000) + Math.ceil(lifeSeconds) });
}

/** The ticket, or null when it is not one of ours, is of another kind or is too old. */
export function readTicket(env: Env, kind: TicketKind, text: string): Promise<Ticket | null> {
  return readSigned(env, AUDIENCE[kind], claims, text);
}
