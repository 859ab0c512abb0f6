/** The tickets of moves that a test makes up, as an edge signs them (functions/move/ticket.ts). */
import { base64url, SignJWT } from "jose";
import { TEST_SECRETS } from "./secrets.ts";

/** `key`: the edge's TOKEN_KEY. */
export function moveTicket(
  migration: string,
  side: "source" | "destination",
  key = TEST_SECRETS.TOKEN_KEY,
): Promise<string> {
  return new SignJWT({ migration, side })
    .setProtectedHeader({ alg: "HS256" })
    .setAudience("edgenova-move")
    .setExpirationTime("10m")
    .sign(base64url.decode(key));
}
