/** The panel of the clipboard, both ways: a guest's clipboard is not the browser's, and moves only on a press. */
import type RFB from "@novnc/novnc";
import type { Speech } from "./language.ts";
import { notice } from "./notice.ts";
import type { Screen } from "./screen.ts";
import { button, part } from "./view.ts";

export class Clipboard {
  readonly #speech: Speech;
  readonly #text = part("clipboard-text", HTMLTextAreaElement);

  constructor(screen: Screen, speech: Speech) {
    this.#speech = speech;
    button("clipboard-send").addEventListener("click", () => {
      screen.paste(this.#text.value);
      notice(speech.words.clipboardSent);
    });
    // Both are missing where the page is not secure, and a browser may have one without the other.
    const { clipboard } = navigator as { clipboard?: Partial<globalThis.Clipboard> };
    button("clipboard-copy").hidden = clipboard?.writeText === undefined;
    button("clipboard-paste").hidden = clipboard?.readText === undefined;
    button("clipboard-copy").addEventListener("click", () => {
      void this.#attempt(async () => {
        await clipboard?.writeText?.(this.#text.value);
        notice(speech.words.clipboardCopied);
      });
    });
    button("clipboard-paste").addEventListener("click", () => {
      void this.#attempt(async () => {
        this.#text.value = (await clipboard?.readText?.()) ?? "";
      });
    });
  }

  /** `clipboard`: the session's right. */
  allow(clipboard: boolean): void {
    button("clipboard").hidden = !clipboard;
  }

  /** Whether a text can go to the server now. */
  set sendable(may: boolean) {
    button("clipboard-send").disabled = !may;
  }

  /** Takes what the guest copies. */
  follow(rfb: RFB): void {
    rfb.addEventListener("clipboard", ({ detail }) => {
      this.#text.value = detail.text;
      notice(this.#speech.words.clipboardCame);
    });
  }

  async #attempt(act: () => Promise<void>): Promise<void> {
    try {
      await act();
    } catch {
      // The person or the browser said no.
      notice(this.#speech.words.clipboardDenied);
    }
  }
}
