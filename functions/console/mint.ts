/** Making a link to a screen: its token, a uuid, goes to the user once; everything here keeps its SHA-256. */
import { Buffer } from "node:buffer";
import type { ServerRecord } from "../conductor/record.ts";
import { bindingOf } from "../conductor/screen.ts";
import type { VncAddress } from "../protocol/guest.ts";
import type { ConsoleAuth } from "./console-auth.ts";
import { type Giver, LINK_KEEP_MS, type Link, type LinkKind, type Terms } from "./link.ts";

/** A link with its URL, which is told this once. */
export type MintedLink = { url: string; link: Link };

/** What is to be made; `expires_in` in seconds. */
export type LinkOrder = { kind: LinkKind; terms: Terms; pin: string | null; expires_in: number };

/** A token as it is known here: its SHA-256 in lower-case hex. */
export async function tokenHash(token: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(token));
  return Buffer.from(digest).toString("hex");
}

/** Makes a link to the server's screen as it is now. `base` is the viewer's URL; its own query is kept. */
export async function mintLink(
  env: Env,
  record: ServerRecord,
  screen: { host: string; connect: VncAddress },
  giver: Giver,
  { expires_in, ...order }: LinkOrder,
  base: string,
): Promise<MintedLink> {
  const token = crypto.randomUUID();
  const hash = await tokenHash(token);
  const created_at = Date.now();
  const expires_at = created_at + expires_in * 1000;
  const link = {
    id: crypto.randomUUID(),
    hash,
    ...order,
    giver,
    bound: bindingOf(record),
    ...screen,
    created_at,
    expires_at,
  };
  await Promise.all([
    env.CONSOLE.getByName(record.uuid).give(link, record.project_id),
    consoleAuthOf(env, hash).authorize(hash, record.uuid, giver, expires_at + LINK_KEEP_MS),
  ]);
  const url = consoleUrl(base, token, `${record.display_name}(${record.uuid})`);
  return { url, link: { ...link, used: 0, revoked_at: null, revoked_why: null, pin_failures: 0 } };
}

/** The object that knows the token of this hash. */
export function consoleAuthOf(env: Env, hash: string): DurableObjectStub<ConsoleAuth> {
  return env.CONSOLE_AUTH.getByName(hash.slice(0, 1));
}

/** Every object that knows tokens. */
export function everyConsoleAuth(env: Env): DurableObjectStub<ConsoleAuth>[] {
  return [..."0123456789abcdef"].map((digit) => env.CONSOLE_AUTH.getByName(digit));
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
