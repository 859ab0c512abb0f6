/** Types a text into the guest, key by key: for what has no clipboard, such as a login prompt. */
import type { Keys } from "./keys.ts";
import { strokesOf } from "./keystrokes.ts";
import type { Speech } from "./language.ts";
import { notice } from "./notice.ts";
import { button, part } from "./view.ts";

/** Between two keys. A guest in emulation, or one that polls its keyboard, loses faster ones. */
const KEY_MS = 20;

/** Characters that nobody would see by themselves. */
const UNSEEN = /[\s\p{C}\p{M}]/u;

export class Typing {
  readonly #keys: Keys;
  readonly #speech: Speech;
  readonly #text = part("typing-text", HTMLTextAreaElement);
  readonly #dialog = part("typing-dialog", HTMLDialogElement);
  /** The text of which the person was told what cannot be typed. */
  #warned: string | null = null;
  #timer: ReturnType<typeof setInterval> | null = null;

  constructor(keys: Keys, speech: Speech) {
    this.#keys = keys;
    this.#speech = speech;
    button("type-text").addEventListener("click", () => {
      this.#reset();
      this.#dialog.showModal();
    });
    this.#text.addEventListener("input", () => this.#reset());
    button("typing-cancel").addEventListener("click", () => this.#dialog.close());
    this.#dialog.addEventListener("close", () => this.stop());
    part("typing-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      this.#start();
    });
    speech.always(() => this.#reset());
  }

  /** Ends what is being typed: the person's word, or the connection's end. */
  stop(): void {
    if (this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
    notice(this.#speech.words.typedPart);
    this.#reset();
  }

  #start(): void {
    const text = this.#text.value;
    const { strokes, untypable } = strokesOf(text);
    if (untypable.length > 0 && this.#warned !== text) {
      this.#warn(text, untypable);
      return;
    }
    button("typing-start").disabled = true;
    this.#text.readOnly = true;
    button("typing-cancel").textContent = this.#speech.words.ui.stopTyping;
    let done = 0;
    const next = (): void => {
      const stroke = strokes[done];
      this.#progress(done, strokes.length);
      if (stroke === undefined) {
        this.#finish();
        return;
      }
      this.#keys.stroke(stroke);
      done++;
    };
    this.#timer = setInterval(next, KEY_MS);
    next();
  }

  #finish(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#text.value = "";
    this.#reset();
    this.#dialog.close();
    notice(this.#speech.words.typedAll);
  }

  #warn(text: string, untypable: readonly string[]): void {
    this.#warned = text;
    const shown = untypable.map((char) => (UNSEEN.test(char) ? codeOf(char) : char)).join(" ");
    const warning = part("typing-warning", HTMLElement);
    warning.textContent = this.#speech.words.untypable(shown);
    warning.hidden = false;
    button("typing-start").textContent = this.#speech.words.ui.typeRest;
  }

  #progress(done: number, of: number): void {
    const [line, bar] = [part("typing-progress", HTMLElement), part("typing-bar", HTMLProgressElement)];
    line.hidden = bar.hidden = false;
    line.textContent = this.#speech.words.typingAt(done, of);
    bar.max = Math.max(of, 1);
    bar.value = done;
  }

  #reset(): void {
    this.#warned = null;
    this.#text.readOnly = false;
    part("typing-warning", HTMLElement).hidden = true;
    part("typing-progress", HTMLElement).hidden = true;
    part("typing-bar", HTMLProgressElement).hidden = true;
    const start = button("typing-start");
    start.disabled = false;
    start.textContent = this.#speech.words.ui.typeStart;
    button("typing-cancel").textContent = this.#speech.words.ui.cancel;
  }
}

/** `U+00A0`. */
function codeOf(char: string): string {
  return `U+${(char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}`;
}
