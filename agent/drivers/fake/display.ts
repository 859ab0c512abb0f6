import type { Picture } from "./canvas.ts";
import type { Rect } from "./damage.ts";

/** What an RFB server shows, and what it passes on from its clients. */
export interface Display {
  readonly width: number;
  readonly height: number;
  /** Someone looks. Returns the picture, which is drawn into from now on; `onDamage` tells where it changed. */
  attach(onDamage: (rect: Rect) => void): { picture: Picture; detach(): void };
  /** A key went down or up: its X11 keysym, and its XT scancode where the client sent one. */
  key(keysym: number, down: boolean, scancode: number | null): void;
  /** The pointer is at `x`, `y`; bit n of `buttons` is button n + 1 (RFC 6143 §7.5.5). */
  pointer(x: number, y: number, buttons: number): void;
  /** The client's clipboard now holds `text`. */
  cutText(text: string): void;
}
