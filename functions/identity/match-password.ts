/** Whether a password is a user's, with the limits on guessing. */
import type { Context } from "hono";
import type { AppEnv } from "../api/app-env.ts";
import { Fault } from "../api/fault.ts";
import { config } from "../config.ts";
import { log } from "../log.ts";
import { addressOf } from "./address.ts";
import type { Named } from "./directory.ts";
import type { AppLogin, Challenge, Proof } from "./identity.ts";
import { sameSecret, verifyPassword } from "./password.ts";
import { WRONG } from "./valid-token.ts";

/** Stops an address that tries too often, before an object is woken or a password hashed. */
export async function limitAddress(c: Context<AppEnv>): Promise<void> {
  if (!(await c.env.AUTH_RATE.limit({ key: addressOf(c) })).success) throw tooMany(60);
}

/** The user whose password this is; 401 when it is nobody's, 429 after too many wrong ones. */
export async function matchPassword(c: Context<AppEnv>, user: Partial<Named>, password: string): Promise<Proof> {
  const asked = await c.env.IDENTITY.getByName("default").challenge({ user, address: addressOf(c) });
  if (!asked.ok) throw tooMany(asked.error);
  return meet(c, asked.value, password);
}

/** The id of the application credential whose secret this is; faults as `matchPassword`. */
export async function matchSecret(c: Context<AppEnv>, login: AppLogin, secret: string): Promise<string> {
  const asked = await c.env.IDENTITY.getByName("default").appChallenge(login, addressOf(c));
  if (!asked.ok) throw tooMany(asked.error);
  return (await meet(c, asked.value, secret)).user_id;
}

async function meet(c: Context<AppEnv>, { user_id, stored }: Challenge, password: string): Promise<Proof> {
  const operator = stored === "operator";
  const good = operator ? sameSecret(password, config(c.env).ADMIN_PASSWORD) : await verifyPassword(stored, password);
  if (!good || user_id === null || stored === null) {
    // Who was named, if there is one: an unknown name may be a password typed into the wrong field.
    log("login.refused", { request: c.var.requestId, user: user_id, address: addressOf(c) });
    throw new Fault(401, WRONG);
  }
  return { user_id, stored };
}

function tooMany(seconds: number): Fault {
  const after = { "Retry-After": String(seconds) };
  return new Fault(429, `Too many log-ins from your address. Try again in ${seconds} seconds.`, after);
}
