/** The buttons above the screen. */
import type { Screen } from "./screen.ts";
import { part } from "./view.ts";

/** navigator.keyboard of the Keyboard Lock API, which TypeScript's DOM types do not know yet. */
type WithKeyboardLock = Navigator & { keyboard?: { lock?: () => Promise<void> } };

/** Moves the keyboard focus to the first button that works. */
export function focusBar(): void {
  part("bar", HTMLElement).querySelector<HTMLButtonElement>("button:not(:disabled):not([hidden])")?.focus();
}

/** Wires the buttons to the screen. */
export function setUpBar(screen: Screen): void {
  onPress("ctrl-alt-del", screen, () => screen.sendCtrlAltDel());
  onPress("fit", screen, () => {
    screen.toggleFit();
    showFit(screen.fit);
  });
  showFit(screen.fit);
  setUpFullScreen(screen);
  part("bar", HTMLElement).addEventListener("keydown", (event) => {
    if (event.key === "Escape") screen.focus();
  });
}

/**
 * A pointer's click gives the keyboard back to the screen, where the person was typing; a key press on a button
 * leaves it there, where the person is working.
 */
function onPress(id: string, screen: Screen, act: () => void): void {
  part(id, HTMLButtonElement).addEventListener("click", (event) => {
    act();
    if (event.detail > 0) screen.focus();
  });
}

function showFit(fit: boolean): void {
  const button = part("fit", HTMLButtonElement);
  button.textContent = fit ? "1:1" : "Fit";
  const says = fit ? "Show the screen in its own size" : "Fit the screen to the window";
  button.title = says;
  button.setAttribute("aria-label", `${button.textContent}: ${says}`);
}

function setUpFullScreen(screen: Screen): void {
  const button = part("full-screen", HTMLButtonElement);
  // Not in an iframe without permission, and not on an iPhone.
  button.hidden = !document.fullscreenEnabled;
  onPress("full-screen", screen, () => void toggleFullScreen());
  document.addEventListener("fullscreenchange", () => {
    const says = document.fullscreenElement === null ? "Full screen" : "Leave full screen";
    button.title = says;
    button.setAttribute("aria-label", says);
  });
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
