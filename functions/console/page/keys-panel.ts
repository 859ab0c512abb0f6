/** The panel of keys. */
import { onPress } from "./bar.ts";
import { Keys } from "./keys.ts";
import type { Screen } from "./screen.ts";
import { part } from "./view.ts";

/** Keys that only change what others do: a held one waits for another. */
const MODIFIERS: ReadonlySet<string> = new Set(["Control", "Alt", "AltGraph", "Shift", "Meta"]);

export function setUpKeys(screen: Screen): Keys {
  const panel = part("keys-panel", HTMLElement);
  const holds = [...panel.querySelectorAll<HTMLButtonElement>("[data-hold]")];
  const keys = new Keys(screen, () => {
    for (const hold of holds) hold.setAttribute("aria-pressed", String(keys.isHeld(hold.dataset.hold ?? "")));
  });
  for (const hold of holds) onPress(hold, screen, () => keys.toggle(hold.dataset.hold ?? ""));
  for (const press of panel.querySelectorAll<HTMLElement>("[data-chord]")) {
    onPress(press, screen, () => keys.chord((press.dataset.chord ?? "").split(" ")));
  }
  // In the capture phase: noVNC stops every key. Let go after it has sent this one up.
  part("screen", HTMLElement).addEventListener(
    "keyup",
    ({ key }) => {
      if (!MODIFIERS.has(key)) setTimeout(() => keys.release());
    },
    { capture: true },
  );
  return keys;
}
