/** Making a console token: the uuid goes to the user once, everything here keeps its SHA-256 (nova: ConsoleAuthToken). */
import { Buffer } from "node:buffer";
import type { ServerRecord } from "../conductor/record.ts";
import { config } from "../config.ts";
import type { VncAddress } from "../protocol/guest.ts";
import type { ConsoleAuth } from "./console-auth.ts";

export type MintedConsole = { url: string; expires_at: number };

/** The name of the `Console` object that answers for `token`: its SHA-256 in lower-case hex. */
export async function tokenHash(token: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(token));
  return Buffer.from(digest).toString("hex");
}

/** Authorizes a new token for the server's screen. `base` is the viewer's URL; its own query is kept. */
export async function mintConsole(
  env: Env,
  record: ServerRecord,
  host: string,
  connect: VncAddress,
  base: string,
): Promise<MintedConsole> {
  const token = crypto.randomUUID();
  const hash = await tokenHash(token);
  const expires_at = Date.now() + config(env).TOKEN_TTL * 1000;
  await consoleAuthOf(env, hash).authorize(hash, {
    console_type: "novnc",
    server: record.uuid,
    project_id: record.project_id,
    generation: record.generation,
    screens_ended: record.screens_ended ?? 0,
    host,
    connect,
    expires_at,
  });
  return { url: consoleUrl(base, token, `${record.display_name}(${record.uuid})`), expires_at };
}

/** The object that knows the token of this hash. */
export function consoleAuthOf(env: Env, hash: string): DurableObjectStub<ConsoleAuth> {
  return env.CONSOLE_AUTH.getByName(hash.slice(0, 1));
}

/** The link to a screen. The title is for people; Horizon appends one of its own, so the URL always has a query. */
export function consoleUrl(base: string, token: string, title: string): string {
  const url = new URL(base);
  const encoded = encodeURIComponent(title).replace(
    /[!'()*]/g,
    (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  const query = url.search.replace(/^\?/, "");
  url.search = `${query === "" ? "" : `${query}&`}token=${token}&title=${encoded}`;
  return url.href;
}
