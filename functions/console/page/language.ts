/** The page's language: of the browser, or the one that was chosen. */
import { en, type Words } from "./words-en.ts";
import { zh } from "./words-zh.ts";

/** By the tag that `<html lang>` gets. */
export const LANGUAGES = { en, "zh-Hans": zh } as const satisfies Record<string, Words>;
export type Language = keyof typeof LANGUAGES;

/** The first language that a person reads and the page speaks; `chosen` goes before all. */
export function pickLanguage(chosen: string | null, preferred: readonly string[]): Language {
  for (const tag of [chosen ?? "", ...preferred]) {
    if (/^zh\b/i.test(tag)) return "zh-Hans";
    if (/^en\b/i.test(tag)) return "en";
  }
  return "en";
}

export class Speech {
  #language: Language;
  readonly #listeners: (() => void)[] = [];

  constructor(language: Language) {
    this.#language = language;
    this.#fill();
  }

  get language(): Language {
    return this.#language;
  }

  get words(): Words {
    return LANGUAGES[this.#language];
  }

  speak(language: Language): void {
    this.#language = language;
    this.#fill();
    for (const listener of this.#listeners) listener();
  }

  /** Runs now, and whenever the language changes. */
  always(listener: () => void): void {
    this.#listeners.push(listener);
    listener();
  }

  /** What stands in page.html: `data-word` names an element's text, `data-says` its name and tooltip. */
  #fill(): void {
    document.documentElement.lang = this.#language;
    const ui: Record<string, string> = this.words.ui;
    for (const element of document.querySelectorAll<HTMLElement>("[data-word]")) {
      element.textContent = ui[element.dataset.word ?? ""] ?? "";
    }
    for (const element of document.querySelectorAll<HTMLElement>("[data-says]")) {
      name(element, ui[element.dataset.says ?? ""] ?? "");
    }
  }
}

/** Gives a button that shows only a picture its name. */
export function name(element: HTMLElement, says: string): void {
  element.title = says;
  element.setAttribute("aria-label", says);
}
