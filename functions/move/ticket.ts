/** What lets an end of a move into its pipe: signed with TOKEN_KEY, so that the Worker turns a guess away by itself. */
import { z } from "zod";
import { readSigned, signFor } from "../identity/signed.ts";

const AUDIENCE = "edgenova-move";

const claims = z.object({ migration: z.uuid(), side: z.enum(["source", "destination"]) });
/** One end of one move. */
type MoveTicket = z.infer<typeof claims>;

/** @param lifeSeconds how long the move may last */
export function signMoveTicket(env: Env, ticket: MoveTicket, lifeSeconds: number): Promise<string> {
  return signFor(env, AUDIENCE, { ...ticket, exp: Math.floor(Date.now() / 1000) + Math.ceil(lifeSeconds) });
}

/** The ticket, or null when it is not one of ours or is too old. */
export function readMoveTicket(env: Env, text: string): Promise<MoveTicket | null> {
  return readSigned(env, AUDIENCE, claims, text);
}
