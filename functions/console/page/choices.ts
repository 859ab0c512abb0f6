/** Rows of buttons of which one is chosen: size, quality, language. */
import { LANGUAGES, type Language, type Speech } from "./language.ts";
import type { Screen } from "./screen.ts";
import { QUALITIES, type Settings, SIZES, saveSettings } from "./settings.ts";
import type { Words } from "./words-en.ts";

/** Wires the rows to the settings, which are remembered. */
export function setUpChoices(settings: Settings, screen: Screen, speech: Speech): void {
  choice("size", SIZES, settings.size, (size) => {
    settings.size = size;
    screen.adjust();
    saveSettings(settings);
  });
  choice("quality", QUALITIES, settings.quality, (quality) => {
    settings.quality = quality;
    screen.adjust();
    saveSettings(settings);
  });
  choice("language", Object.keys(LANGUAGES) as Language[], speech.language, (language) => {
    settings.language = language;
    speech.speak(language);
    saveSettings(settings);
  });
  speech.always(() => {
    for (const size of SIZES) {
      const hint: keyof Words["ui"] = `${size}Hint`;
      const press = buttonFor("size", size);
      if (press !== null) press.title = speech.words.ui[hint];
    }
  });
}

/** One row: its buttons have `data-<row>` with what they stand for. */
function choice<T extends string>(row: string, values: readonly T[], first: T, choose: (value: T) => void): void {
  const show = (chosen: T): void => {
    for (const value of values) buttonFor(row, value)?.setAttribute("aria-pressed", String(value === chosen));
  };
  for (const value of values) {
    buttonFor(row, value)?.addEventListener("click", () => {
      show(value);
      choose(value);
    });
  }
  show(first);
}

function buttonFor(row: string, value: string): HTMLButtonElement | null {
  return document.querySelector<HTMLButtonElement>(`button[data-${row}="${value}"]`);
}
