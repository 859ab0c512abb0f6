/** What survives a reload of this tab: the newest resume key, and never the link's token. */

const KEY = "console-key";

/** Null when there is none, or when the browser keeps nothing: in a frame of a third party, say. */
export function keptKey(): string | null {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

/** Without storage a reload asks for the link again; everything else works. */
export function keepKey(key: string | null): void {
  try {
    if (key === null) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, key);
  } catch {
    // Nothing to do about it, and nothing breaks.
  }
}
