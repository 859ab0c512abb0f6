/** Keys that a browser keeps for itself, or that a phone does not have; and keys that are held for the next one. */
import { type Stroke, strokeOf } from "./keystrokes.ts";
import type { Screen } from "./screen.ts";

/** X11 keysyms (keysymdef.h) by `KeyboardEvent.code`. */
const KEYSYM: Record<string, number> = {
  ControlLeft: 0xffe3,
  AltLeft: 0xffe9,
  ShiftLeft: 0xffe1,
  MetaLeft: 0xffeb,
  Delete: 0xffff,
  Backspace: 0xff08,
  Escape: 0xff1b,
  Tab: 0xff09,
  PrintScreen: 0xff61,
  ...Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`F${i + 1}`, 0xffbe + i])),
};

export class Keys {
  readonly #screen: Screen;
  readonly #held = new Set<string>();
  readonly #changed: () => void;

  /** `changed` runs when a key is held or let go. */
  constructor(screen: Screen, changed: () => void) {
    this.#screen = screen;
    this.#changed = changed;
  }

  isHeld(code: string): boolean {
    return this.#held.has(code);
  }

  /** Holds a key until the next one was pressed, or lets it go. */
  toggle(code: string): void {
    this.#set(code, !this.#held.has(code));
  }

  /** Lets go of all. What the guest still has, of a connection that is gone, nobody presses any more. */
  release(): void {
    for (const code of [...this.#held]) this.#set(code, false);
  }

  /** Presses keys together, in this order, by their codes. */
  chord(codes: readonly string[]): void {
    for (const code of codes) this.#send(code, true);
    for (const code of [...codes].reverse()) this.#send(code, false);
    this.release();
  }

  /** QEMU finds the key of a capital letter but does not press Shift for it. */
  stroke({ keysym, code, shift }: Stroke): void {
    const press = shift && !this.#held.has("ShiftLeft");
    if (press) this.#send("ShiftLeft", true);
    this.#screen.sendKey(keysym, code);
    if (press) this.#send("ShiftLeft", false);
    this.release();
  }

  type(char: string): void {
    this.stroke(strokeOf(char));
  }

  #set(code: string, down: boolean): void {
    if (down) this.#held.add(code);
    else this.#held.delete(code);
    this.#send(code, down);
    this.#changed();
  }

  #send(code: string, down: boolean): void {
    this.#screen.sendKey(KEYSYM[code] ?? 0, code, down);
  }
}
