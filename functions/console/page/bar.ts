/** The bar above the screen: getting into it, out of it, and its full-screen button. */
import { name, type Speech } from "./language.ts";
import type { Panels } from "./panels.ts";
import type { Screen } from "./screen.ts";
import { button, part } from "./view.ts";

/** navigator.keyboard of the Keyboard Lock API, which TypeScript's DOM types do not know yet. */
type WithKeyboardLock = Navigator & { keyboard?: { lock?: () => Promise<void> } };

/** As narrow as bar.css means it: the tools move into the panel of more. */
const narrow = matchMedia("(max-width: 40rem)");

/** Moves the keyboard focus to the first button that works. */
export function focusBar(): void {
  for (const each of part("buttons", HTMLElement).querySelectorAll<HTMLButtonElement>("button:not(:disabled)")) {
    each.focus();
    if (document.activeElement === each) return;
  }
}

/** Wires the bar to the screen. */
export function setUpBar(screen: Screen, panels: Panels, speech: Speech): void {
  part("bar", HTMLElement).addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      event.preventDefault();
      if (panels.isOpen) panels.back();
      else screen.focus();
    }
    if (event.key === "ArrowRight" || event.key === "ArrowLeft") walk(event);
  });
  // A click on nothing, beside the picture or in the bar, and one on a button that goes away by it, would take the
  // keyboard from everything.
  document.addEventListener("click", () => {
    const at = document.activeElement;
    if (at === null || at === document.body || at.getClientRects().length === 0) screen.focus();
  });
  setUpFullScreen(screen, speech);
  const settle = (): void => {
    panels.close();
    const [tools, home] = [part("tools", HTMLElement), part(narrow.matches ? "more-tools" : "buttons", HTMLElement)];
    if (narrow.matches) home.append(tools);
    else home.insertBefore(tools, button("more"));
  };
  narrow.addEventListener("change", settle);
  settle();
}

/** The arrow keys go from button to button, except in a text. */
function walk(event: KeyboardEvent): void {
  if (!(event.target instanceof HTMLButtonElement)) return;
  const around = event.target.closest(".panel") ?? part("buttons", HTMLElement);
  const list = [...around.querySelectorAll<HTMLButtonElement>("button:not(:disabled)")].filter(
    (each) => each.offsetParent !== null,
  );
  const at = list.indexOf(event.target);
  const to = list[at + (event.key === "ArrowRight" ? 1 : -1)];
  if (to === undefined) return;
  event.preventDefault();
  to.focus();
}

/**
 * A pointer's click gives the keyboard back to the screen, where the person was typing; a key press on a button
 * leaves it there, where the person is working.
 */
export function onPress(press: HTMLElement, screen: Screen, act: () => void): void {
  press.addEventListener("click", (event) => {
    act();
    if (event.detail > 0) screen.focus();
  });
}

function setUpFullScreen(screen: Screen, speech: Speech): void {
  const press = button("full-screen");
  // Not in an iframe without permission, and not on an iPhone.
  press.hidden = !document.fullscreenEnabled;
  onPress(press, screen, () => void toggleFullScreen());
  const show = (): void => {
    const { fullScreen, leaveFullScreen } = speech.words.ui;
    name(press, document.fullscreenElement === null ? fullScreen : leaveFullScreen);
  };
  document.addEventListener("fullscreenchange", show);
  speech.always(show);
}

/** In full screen the browser also gives Esc, Alt+Tab and the like to the server; holding Esc still leaves. */
async function toggleFullScreen(): Promise<void> {
  try {
    if (document.fullscreenElement !== null) return await document.exitFullscreen();
    await document.documentElement.requestFullscreen();
    await (navigator as WithKeyboardLock).keyboard?.lock?.();
  } catch {
    // Refused by the browser or by the person: the page stays as it is, which is visible.
  }
}
