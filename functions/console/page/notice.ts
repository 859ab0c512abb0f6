/** A line that comes, is read aloud, and goes: what has happened, when there is nothing to decide. */
import { part } from "./view.ts";

const SHOWN_MS = 4_000;
let hiding: ReturnType<typeof setTimeout> | undefined;

export function notice(text: string): void {
  const line = part("notice", HTMLElement);
  clearTimeout(hiding);
  line.textContent = text;
  hiding = setTimeout(() => {
    line.textContent = "";
  }, SHOWN_MS);
}
