/** The tickets of moves that a test makes up, as an edge with TEST_SECRETS signs them (functions/move/ticket.ts). */
import { base64url, SignJWT } from "jose";
import { TEST_SECRETS } from "./secrets.ts";

export function moveTicket(migration: string, side: "source" | "destination"): Promise<string> {
  return new SignJWT({ migration, side })
    .setProtectedHeader({ alg: "HS256" })
    .setAudience("edgenova-move")
    .setExpirationTime("10m")
    .sign(base64url.decode(TEST_SECRETS.TOKEN_KEY));
}
