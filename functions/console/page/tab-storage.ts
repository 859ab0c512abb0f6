/**
 * What survives a reload of this tab, and never the link's token: the newest resume key, or which session went on in
 * another window. The key of that one is old, and an old key looks stolen.
 */

const KEY = "console-key";
const MOVED = "console-moved";

export const keptKey = (): string | null => read(KEY);
export const movedSession = (): string | null => read(MOVED);

/** Without storage a reload asks for the link again; everything else works. */
export function keepKey(key: string): void {
  keep(KEY, key, MOVED);
}

/** Instead of its key. */
export function keepMoved(session: string): void {
  keep(MOVED, session, KEY);
}

/** Null when there is none, or when the browser keeps nothing: in a frame of a third party, say. */
function read(name: string): string | null {
  try {
    return sessionStorage.getItem(name);
  } catch {
    return null;
  }
}

function keep(name: string, value: string, instead: string): void {
  try {
    sessionStorage.removeItem(instead);
    sessionStorage.setItem(name, value);
  } catch {
    // Nothing to do about it, and nothing breaks.
  }
}
