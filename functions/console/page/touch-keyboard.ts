/** Typing on a phone: its keyboard comes up only for a text field, and tells only how the field's text changed. */
import type { Keys } from "./keys.ts";
import { strokesBetween } from "./keystrokes.ts";
import type { Screen } from "./screen.ts";
import { part } from "./view.ts";

/** Text that the field always holds, so that Backspace has something to delete and is noticed. */
const PADDING = "_".repeat(64);

/** Wires the keyboard button, which the style sheet shows on touch screens. */
export function setUpTouchKeyboard(screen: Screen, keys: Keys): void {
  const button = part("keyboard", HTMLButtonElement);
  const field = part("typing", HTMLTextAreaElement);
  let sent = PADDING;
  const reset = (): void => {
    sent = PADDING;
    field.value = PADDING;
    field.setSelectionRange(PADDING.length, PADDING.length);
  };

  // The press must not take the focus from the field, or it would close the keyboard that the click then opens again.
  button.addEventListener("pointerdown", (event) => event.preventDefault());
  button.addEventListener("mousedown", (event) => event.preventDefault());
  button.addEventListener("click", () => (document.activeElement === field ? field.blur() : field.focus()));
  field.addEventListener("focus", () => {
    reset();
    screen.keepFocusOnTouch(true);
    button.setAttribute("aria-pressed", "true");
  });
  field.addEventListener("blur", () => {
    screen.keepFocusOnTouch(false);
    button.setAttribute("aria-pressed", "false");
  });
  field.addEventListener("input", (event) => {
    const { erase, text } = strokesBetween(sent, field.value);
    for (let i = 0; i < erase; i++) keys.chord(["Backspace"]);
    for (const char of text) keys.type(char);
    sent = field.value;
    // A word that is being composed is still the keyboard's own: changing the field under it would confuse it.
    if (!(event instanceof InputEvent && event.isComposing)) reset();
  });
}
