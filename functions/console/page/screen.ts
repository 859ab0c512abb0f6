/** The picture: how it is sized, and where the keys go. */
import type RFB from "@novnc/novnc";

/** From the screen back to the bar. The same chord reaches the connection bar of Windows' remote desktop. */
const LEAVE = { code: "Home", label: "Ctrl+Alt+Home" } as const;

/** A finger pans a picture at 1:1; a mouse has scroll bars. */
const coarse = matchMedia("(pointer: coarse)");

/** The screen area of the page. It outlives the sessions that draw in it. */
export class Screen {
  readonly #target: HTMLElement;
  #rfb: RFB | null = null;
  #fit = true;

  constructor(target: HTMLElement, leave: () => void) {
    this.#target = target;
    target.addEventListener("focusout", releaseKeys);
    // In the capture phase: noVNC stops every key that reaches its canvas.
    target.addEventListener(
      "keydown",
      (event) => {
        if (!isLeaveChord(event)) return;
        event.preventDefault();
        event.stopPropagation();
        leave();
      },
      { capture: true },
    );
  }

  get fit(): boolean {
    return this.#fit;
  }

  /** Takes over a connected session and the keyboard. */
  show(rfb: RFB, name: string): void {
    this.#rfb = rfb;
    const canvas = this.#target.querySelector("canvas");
    if (canvas !== null) {
      // noVNC leaves its canvas out of the tab order; a keyboard must get to it, and a screen reader must name it.
      canvas.tabIndex = 0;
      canvas.setAttribute("role", "application");
      canvas.setAttribute("aria-label", `Screen of ${name}. Keys go to the server; ${LEAVE.label} leaves it.`);
    }
    this.#resize();
    this.focus();
  }

  clear(): void {
    this.#rfb = null;
  }

  focus(): void {
    this.#rfb?.focus({ preventScroll: true });
  }

  sendCtrlAltDel(): void {
    this.#rfb?.sendCtrlAltDel();
  }

  /** A key by its X11 keysym; without `down`, a press and a release. */
  sendKey(keysym: number, down?: boolean): void {
    this.#rfb?.sendKey(keysym, null, down);
  }

  /** While true, touching the picture leaves the focus, and with it a phone's keyboard, where it is. */
  keepFocusOnTouch(keep: boolean): void {
    if (this.#rfb !== null) this.#rfb.focusOnClick = !keep;
  }

  toggleFit(): void {
    this.#fit = !this.#fit;
    this.#resize();
  }

  #resize(): void {
    if (this.#rfb === null) return;
    this.#rfb.scaleViewport = this.#fit;
    const pan = !this.#fit && coarse.matches;
    this.#rfb.clipViewport = pan;
    this.#rfb.dragViewport = pan;
  }
}

function isLeaveChord(event: KeyboardEvent): boolean {
  return event.code === LEAVE.code && event.ctrlKey && event.altKey && !event.shiftKey && !event.metaKey;
}

/**
 * noVNC releases the held keys when the window loses the focus, but not when the focus moves within the page: after
 * the chord, Ctrl and Alt would stay down in the guest. To noVNC the one now looks like the other.
 */
function releaseKeys(): void {
  window.dispatchEvent(new FocusEvent("blur"));
}
