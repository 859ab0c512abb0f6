/** Puts the server's name and a status into the page. `data-state` is what the style sheet and the tests read. */
import type { Title } from "./link.ts";
import { cardOf, type Status } from "./status.ts";
import type { Action } from "./trouble.ts";
import type { Words } from "./words-en.ts";

/** The element with this id, which page.html must have. */
export function part<T extends Element>(id: string, kind: new () => T): T {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`page.html has no ${kind.name} #${id}`);
  return element;
}

/** A pressable button by its id. */
export function button(id: string): HTMLButtonElement {
  return part(id, HTMLButtonElement);
}

/** Characters of a uuid in the bar; the whole is in the tooltip. */
const SHORT_ID_CHARS = 8;

/** Buttons that do nothing without a picture. */
const NEED_SCREEN = ["keys", "keyboard", "clipboard", "display", "type-text", "screenshot"];

/** Names the server in the bar and in the tab. */
export function showTitle({ name, id }: Title): void {
  const heading = part("name", HTMLHeadingElement);
  heading.textContent = name;
  heading.title = name;
  const short = part("uuid", HTMLElement);
  short.hidden = id === null || id === name;
  short.textContent = id?.slice(0, SHORT_ID_CHARS) ?? "";
  short.title = id ?? "";
  document.title = id === null || id === name ? name : `${name} (${id})`;
}

/** Milliseconds to the agent and back; null when that is not known. */
export function showLatency(ms: number | null): void {
  part("latency", HTMLElement).textContent = ms === null ? "" : `${Math.round(ms)} ms`;
}

/** Shows what is going on: the word and the dot in the bar, and the card over the screen unless it is connected. */
export function showStatus(status: Status, words: Words): void {
  const card = cardOf(status, words);
  const before = document.documentElement.dataset.state;
  document.documentElement.dataset.state = status.state;
  const first = status.state === "resuming" && !status.began;
  part("state", HTMLElement).textContent = words.state[first ? "connecting" : status.state];
  part("heading", HTMLElement).textContent = card.heading;
  part("reason", HTMLElement).textContent = card.reason;
  part("next", HTMLElement).textContent = card.next;
  say("announcement", [card.heading, card.reason, card.next].filter((text) => text !== "").join(". "));
  part("overlay", HTMLElement).hidden = status.state === "connected";
  part("example", HTMLElement).hidden = !(status.state === "no-link" && !status.reopened);
  for (const id of NEED_SCREEN) button(id).disabled = status.state !== "connected";
  showPin(status, before !== "pin");
  showAction(card.action, words);
}

function showPin(status: Status, fresh: boolean): void {
  const form = part("pin-form", HTMLFormElement);
  form.hidden = status.state !== "pin";
  if (form.hidden || !fresh) return;
  const field = part("pin", HTMLInputElement);
  field.value = "";
  field.focus();
}

/** The same card may be shown every few seconds; the focus goes to its button once. */
function showAction(action: Action | null, words: Words): void {
  const act = button("reconnect");
  const fresh = act.hidden;
  act.hidden = action === null;
  act.textContent = action === null ? "" : words.action[action];
  if (!act.hidden && fresh) act.focus();
}

/** A live region speaks when its text changes. */
function say(id: string, text: string): void {
  const region = part(id, HTMLElement);
  if (region.textContent !== text) region.textContent = text;
}
