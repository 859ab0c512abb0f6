/** What a key means, from its X11 keysym (RFC 6143 §7.5.4; names from X.Org's keysymdef.h without `XK_`). */
import { MISSING } from "./font.ts";

export type Key =
  | { kind: "text"; code: number }
  | { kind: "enter" }
  | { kind: "erase" }
  | { kind: "modifier"; name: string }
  | { kind: "named"; name: string };

const MODIFIERS = new Map<number, string>([
  [0xffe1, "Shift"],
  [0xffe2, "Shift"],
  [0xffe3, "Ctrl"],
  [0xffe4, "Ctrl"],
  [0xffe7, "Meta"],
  [0xffe8, "Meta"],
  [0xffe9, "Alt"],
  [0xffea, "Alt"],
  [0xffeb, "Super"],
  [0xffec, "Super"],
  [0xfe03, "AltGr"],
]);

const NAMES = new Map<number, string>([
  [0xfe20, "Tab"],
  [0xff09, "Tab"],
  [0xff13, "Pause"],
  [0xff14, "ScrollLock"],
  [0xff15, "SysRq"],
  [0xff1b, "Esc"],
  [0xff50, "Home"],
  [0xff51, "Left"],
  [0xff52, "Up"],
  [0xff53, "Right"],
  [0xff54, "Down"],
  [0xff55, "PageUp"],
  [0xff56, "PageDown"],
  [0xff57, "End"],
  [0xff61, "Print"],
  [0xff63, "Insert"],
  [0xff67, "Menu"],
  [0xff7f, "NumLock"],
  [0xffe5, "CapsLock"],
  [0xffff, "Delete"],
]);

const ENTER = new Set([0xff0d, 0xff8d]);
const BACKSPACE = 0xff08;
/** XK_F1 to XK_F24. */
const FUNCTION_KEYS = { first: 0xffbe, last: 0xffd5 };
/** XK_KP_Multiply to XK_KP_9: the ASCII code is 0xff80 below. */
const KEYPAD = { first: 0xffaa, last: 0xffb9, offset: 0xff80 };
/** Keysyms of Unicode characters are their code point plus this; those of Latin-1 are the code point itself. */
const UNICODE = 0x01000000;

/** Reads a keysym. `scancode` names a key that came without one, as QEMU's message allows. */
export function readKey(keysym: number, scancode: number | null): Key {
  const modifier = MODIFIERS.get(keysym);
  if (modifier !== undefined) return { kind: "modifier", name: modifier };
  if (ENTER.has(keysym)) return { kind: "enter" };
  if (keysym === BACKSPACE) return { kind: "erase" };
  const name = NAMES.get(keysym);
  if (name !== undefined) return { kind: "named", name };
  if (keysym >= FUNCTION_KEYS.first && keysym <= FUNCTION_KEYS.last) {
    return { kind: "named", name: `F${keysym - FUNCTION_KEYS.first + 1}` };
  }
  if (keysym >= 0x20 && keysym < 0x7f) return { kind: "text", code: keysym };
  if (keysym >= KEYPAD.first && keysym <= KEYPAD.last) return { kind: "text", code: keysym - KEYPAD.offset };
  if ((keysym >= 0xa0 && keysym <= 0xff) || keysym > UNICODE) return { kind: "text", code: MISSING };
  if (keysym === 0 && scancode !== null) return { kind: "named", name: `scan ${scancode}` };
  return { kind: "named", name: `0x${keysym.toString(16)}` };
}
