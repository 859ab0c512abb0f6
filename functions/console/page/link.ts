/** Reads the address that a person opened: which token, and which server. */

/** A name as the link gives it, with the server's id when the title has Horizon's form `name(uuid)`. */
export type Title = { name: string; id: string | null };

export type Link = {
  /** Null when the address has none. */
  token: string | null;
  title: Title | null;
  /** The same address without the token and without anything else that could hold one. */
  cleanUrl: string;
};

/** Characters of a title that are looked at: Nova's 255 for a name, and a uuid in brackets. */
const MAX_TITLE_CHARS = 300;

const NAME_AND_ID = /^(.*)\(([0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})\)$/i;

/**
 * Parses a viewer address. The token may stand in `token=`, inside `path=` (`path=%3Ftoken%3D…`, the form of Nova's
 * links), or in the fragment; the last one wins, as in nova/console/websocketproxy.py. Of several titles the first
 * wins: Horizon appends its own `&title=` to a link that may already have one.
 */
export function readLink(href: string): Link {
  const url = new URL(href);
  const fields = [...url.searchParams, ...new URLSearchParams(url.hash.slice(1))];
  const token = fields.flatMap(tokensOf).at(-1) ?? null;
  const title = fields.find(([key, value]) => key === "title" && clean(value) !== "")?.[1];
  return {
    token,
    title: title === undefined ? null : readTitle(title),
    cleanUrl: cleanUrl(url, title),
  };
}

/** Splits `name(uuid)`. Invisible and text-direction characters go, so that a name cannot pose as another. */
export function readTitle(raw: string): Title {
  const text = clean(raw);
  const [, name, id] = NAME_AND_ID.exec(text) ?? [];
  if (name === undefined || id === undefined) return { name: text, id: null };
  return { name: name.trim() || id, id: id.toLowerCase() };
}

function tokensOf([key, value]: [string, string]): string[] {
  if (value === "") return [];
  if (key === "token") return [value];
  if (key !== "path") return [];
  const [, query = ""] = /\?([^#]*)/.exec(value) ?? [];
  return new URLSearchParams(query).getAll("token").filter((token) => token !== "");
}

function cleanUrl(page: URL, title: string | undefined): string {
  const url = new URL(page);
  url.search = title === undefined ? "" : `?${new URLSearchParams({ title })}`;
  url.hash = "";
  return url.href;
}

function clean(raw: string): string {
  const visible = raw.replace(/\s+/gu, " ").replace(/[\p{Cc}\p{Cf}]/gu, "");
  return [...visible].slice(0, MAX_TITLE_CHARS).join("").trim();
}
