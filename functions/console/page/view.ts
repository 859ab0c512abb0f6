/** Puts a status into the page. `data-state` on the root element is what the style sheet and the tests read. */
import type { Title } from "./link.ts";
import { headingOf, STATE_LABEL, type Status } from "./status.ts";

/** The element with this id, which page.html must have. */
export function part<T extends Element>(id: string, kind: new () => T): T {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`page.html has no ${kind.name} #${id}`);
  return element;
}

/** Characters of a uuid in the bar; the whole is in the tooltip. */
const SHORT_ID_CHARS = 8;

/** Buttons that do nothing without a picture. */
const NEED_SCREEN = ["ctrl-alt-del", "fit", "keyboard"];

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

/** Shows what is going on: the word and the dot in the bar, and the card over the screen unless it is connected. */
export function showStatus(status: Status): void {
  document.documentElement.dataset.state = status.state;
  const reason = "reason" in status ? status.reason : "";
  const heading = headingOf(status);
  part("state", HTMLElement).textContent = STATE_LABEL[status.state];
  part("heading", HTMLElement).textContent = heading;
  part("reason", HTMLElement).textContent = reason;
  part("announcement", HTMLElement).textContent = reason === "" ? heading : `${heading}. ${reason}`;
  part("overlay", HTMLElement).hidden = status.state === "connected";
  part("example", HTMLElement).hidden = !(status.state === "no-link" && status.example);
  for (const id of NEED_SCREEN) part(id, HTMLButtonElement).disabled = status.state !== "connected";
  const reconnect = part("reconnect", HTMLButtonElement);
  reconnect.hidden = !(status.state === "ended" && status.retry);
  if (!reconnect.hidden) reconnect.focus();
}
