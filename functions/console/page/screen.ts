/** The picture: how it is sized, how good it is, and where the keys go. */
import type RFB from "@novnc/novnc";
import { PICTURE, type Settings } from "./settings.ts";

/** From the screen back to the bar. The same chord reaches the connection bar of Windows' remote desktop. */
const LEAVE_CODE = "Home";

/** A finger pans a picture at 1:1; a mouse has scroll bars. */
const coarse = matchMedia("(pointer: coarse)");

/** The screen area of the page. It outlives the connections that draw in it. */
export class Screen {
  readonly #target: HTMLElement;
  readonly #still: HTMLElement;
  readonly #settings: Settings;
  #rfb: RFB | null = null;
  #viewOnly = false;

  /** `still` lies over `target` and keeps the last picture while there is no new one. */
  constructor(target: HTMLElement, still: HTMLElement, settings: Settings, leave: () => void) {
    this.#target = target;
    this.#still = still;
    this.#settings = settings;
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

  /** Takes over a connection. Nothing comes over the last picture before there is a new one. */
  show(rfb: RFB): void {
    this.#rfb = rfb;
    rfb.viewOnly = this.#viewOnly;
    this.adjust();
    const { canvas } = this;
    // noVNC leaves its canvas out of the tab order; a keyboard must get to it.
    if (canvas !== null) {
      canvas.tabIndex = 0;
      canvas.setAttribute("role", "application");
      void drawn(canvas).then(() => {
        if (this.#rfb === rfb) this.forget();
      });
    }
    // Whoever is at work in the bar or in a panel stays there.
    if (document.activeElement?.closest("#bar, dialog") == null) this.focus();
  }

  /** Keeps what is on the screen, and lets go of the connection that drew it. */
  freeze(): void {
    const { canvas } = this;
    if (this.#rfb === null || canvas === null || canvas.width === 0) return;
    this.#rfb = null;
    const copy = document.createElement("canvas");
    copy.width = canvas.width;
    copy.height = canvas.height;
    copy.style.width = canvas.style.width;
    copy.style.height = canvas.style.height;
    copy.getContext("2d")?.drawImage(canvas, 0, 0);
    this.#still.replaceChildren(copy);
    this.#still.hidden = false;
    const { scrollLeft = 0, scrollTop = 0 } = canvas.parentElement ?? {};
    this.#still.scrollTo(scrollLeft, scrollTop);
  }

  /** Takes away what was kept. */
  forget(): void {
    this.#still.replaceChildren();
    this.#still.hidden = true;
  }

  get canvas(): HTMLCanvasElement | null {
    return this.#target.querySelector("canvas");
  }

  set viewOnly(viewOnly: boolean) {
    this.#viewOnly = viewOnly;
    if (this.#rfb !== null && this.#rfb.viewOnly !== viewOnly) {
      this.#rfb.viewOnly = viewOnly;
      this.adjust();
    }
  }

  /** Names the screen for those who do not see it. */
  label(says: string): void {
    this.canvas?.setAttribute("aria-label", says);
  }

  focus(): void {
    this.#rfb?.focus({ preventScroll: true });
  }

  /** A key by its X11 keysym and its `KeyboardEvent.code`; without `down`, a press and a release. */
  sendKey(keysym: number, code: string | null, down?: boolean): void {
    this.#rfb?.sendKey(keysym, code, down);
  }

  paste(text: string): void {
    this.#rfb?.clipboardPasteFrom(text);
  }

  /** The picture as a PNG file; null when there is none. */
  picture(): Promise<Blob | null> {
    const rfb = this.#rfb;
    return rfb === null ? Promise.resolve(null) : new Promise((done) => rfb.toBlob(done, "image/png"));
  }

  /** While true, touching the picture leaves the focus, and with it a phone's keyboard, where it is. */
  keepFocusOnTouch(keep: boolean): void {
    if (this.#rfb !== null) this.#rfb.focusOnClick = !keep;
  }

  /** Follows the settings. */
  adjust(): void {
    if (this.#rfb === null) return;
    const { size, quality } = this.#settings;
    const pan = size !== "fit" && coarse.matches;
    this.#rfb.scaleViewport = size === "fit";
    this.#rfb.clipViewport = pan;
    this.#rfb.dragViewport = pan;
    this.#rfb.resizeSession = size === "resize" && !this.#viewOnly;
    this.#rfb.qualityLevel = PICTURE[quality].jpeg;
    this.#rfb.compressionLevel = PICTURE[quality].compression;
  }
}

/** noVNC does not say when it has drawn: before, its canvas is see-through. */
async function drawn(canvas: HTMLCanvasElement): Promise<void> {
  const context = canvas.getContext("2d");
  const opaque = (x: number, y: number) => context?.getImageData(x, y, 1, 1).data[3] === 0xff;
  while (canvas.isConnected) {
    const [right, bottom] = [Math.max(canvas.width - 1, 0), Math.max(canvas.height - 1, 0)];
    if (context === null || (opaque(0, 0) && opaque(right, bottom) && opaque(right >> 1, bottom >> 1))) return;
    await new Promise(requestAnimationFrame);
  }
}

function isLeaveChord(event: KeyboardEvent): boolean {
  return event.code === LEAVE_CODE && event.ctrlKey && event.altKey && !event.shiftKey && !event.metaKey;
}

/**
 * noVNC releases the held keys when the window loses the focus, but not when the focus moves within the page: after
 * the chord, Ctrl and Alt would stay down in the guest. To noVNC the one now looks like the other.
 */
function releaseKeys(): void {
  window.dispatchEvent(new FocusEvent("blur"));
}
