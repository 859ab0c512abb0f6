/**
 * No secret stands in any log of a test run: edges and agents that tests start are scanned when they are closed. What is
 * signed is known by its form; a console link's token, a uuid as any other, by having been given to this process.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** A JWT in compact form (RFC 7519 §3): tokens, tickets, keys and assertions. */
const SIGNED = /\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}/g;
const LINK_TOKEN = /[?&]token=([0-9a-f-]{36})/g;
/** Whose answers have links. */
const GIVES_LINKS = /\/(remote-consoles|console-links|action)$/;

const given = new Set<string>();

const { fetch } = globalThis;
globalThis.fetch = async (input, init) => {
  const response = await fetch(input, init);
  const { pathname } = new URL(input instanceof Request ? input.url : input);
  if (GIVES_LINKS.test(pathname)) noteLinks(await response.clone().text());
  return response;
};

/** The tokens of the links in this text are secrets from now on. */
export function noteLinks(text: string): void {
  for (const [, token] of text.matchAll(LINK_TOKEN)) if (token) given.add(token);
}

/** Throws when there is one; `where` is whose log it is. */
export function expectNoSecrets(log: string, where: string): void {
  const found = [...log.matchAll(SIGNED)].map(([text]) => text);
  for (const token of given) if (log.includes(token)) found.push(token);
  const first = found[0];
  if (first === undefined) return;
  const at = log.indexOf(first);
  const line = log.slice(Math.max(0, log.lastIndexOf("\n", at)), at).slice(-200);
  throw new Error(`${found.length} secrets stand in the log of ${where}; the first after: ${line}`);
}

/** As `expectNoSecrets`, of every `*.log` below a folder. */
export function expectNoSecretsIn(folder: string): void {
  for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    if (name.endsWith(".log")) expectNoSecrets(readFileSync(join(folder, name), "utf8"), name);
  }
}
