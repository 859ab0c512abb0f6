/** The panels under the bar: one at a time, each with the button that opens it. */
import { button, part } from "./view.ts";

/** Space between a panel and the window's edge, in CSS pixels. */
const EDGE_PX = 8;

export class Panels {
  readonly #home: () => void;
  #open: { toggle: HTMLButtonElement; panel: HTMLElement } | null = null;

  /** `home` gives the keyboard back to the screen. */
  constructor(home: () => void) {
    this.#home = home;
    for (const toggle of document.querySelectorAll<HTMLButtonElement>("button.toggle")) {
      toggle.addEventListener("click", () => this.#press(toggle));
    }
    document.addEventListener("pointerdown", ({ target }) => {
      const inside = target instanceof Element && target.closest(".panel, .toggle, dialog, #screen canvas") !== null;
      if (!inside) this.close();
    });
    // A press on the picture ends what is open, but not while the next key for a held one is meant for it.
    part("screen", HTMLElement).addEventListener("pointerdown", () => {
      if (this.#open?.panel.querySelector('[data-hold][aria-pressed="true"]') == null) this.close();
    });
  }

  get isOpen(): boolean {
    return this.#open !== null;
  }

  /** Closes what is open and puts the focus on its button, or on the one that is left of it. */
  back(): void {
    const toggle = this.#open?.toggle;
    this.close();
    if (toggle === undefined) return;
    toggle.focus();
    if (document.activeElement !== toggle) button("more").focus();
  }

  /** After a choice in a panel: a pointer's gives the keyboard back to the screen, a key's leaves it in the bar. */
  chosen({ detail }: MouseEvent): void {
    this.back();
    if (detail > 0) this.#home();
  }

  /** Closes what is open, or only the panel of the button `of`; a focus inside it goes back to the screen. */
  close(of?: HTMLButtonElement): void {
    if (this.#open === null || (of !== undefined && of !== this.#open.toggle)) return;
    const { toggle, panel } = this.#open;
    const hadFocus = panel.contains(document.activeElement);
    panel.hidden = true;
    toggle.setAttribute("aria-expanded", "false");
    this.#open = null;
    if (hadFocus) this.#home();
  }

  #press(toggle: HTMLButtonElement): void {
    const wasOpen = this.#open?.toggle === toggle;
    const under = toggle.closest(".panel") === null ? toggle : button("more");
    this.close();
    if (wasOpen) {
      this.#home();
      return;
    }
    const panel = part(`${toggle.id}-panel`, HTMLElement);
    panel.hidden = false;
    toggle.setAttribute("aria-expanded", "true");
    this.#open = { toggle, panel };
    place(panel, under);
    panel.querySelector<HTMLElement>("button:not(:disabled):not([hidden]), textarea")?.focus({ preventScroll: true });
  }
}

/** Under its button, and within the window. */
function place(panel: HTMLElement, under: HTMLElement): void {
  const right = innerWidth - under.getBoundingClientRect().right;
  const most = innerWidth - panel.offsetWidth - EDGE_PX;
  panel.style.right = `${Math.max(EDGE_PX, Math.min(right, most))}px`;
}
