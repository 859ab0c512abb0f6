/** From text to keys: X11's keysyms, and the keys of a US keyboard. */

const XK_RETURN = 0xff0d;
const XK_TAB = 0xff09;
/** Above Latin-1 a keysym is the code point with this bit (X11 protocol, appendix A). */
const XK_UNICODE = 0x01000000;

/** A key to press; `shift` whether Shift is held for it. `code` is `KeyboardEvent.code`, null for no key of the US. */
export type Stroke = { keysym: number; code: string | null; shift: boolean };

/** What to send so that a guest which typed `before` has typed `after`. */
export function strokesBetween(before: string, after: string): { erase: number; text: string } {
  const [old, now] = [[...before], [...after]];
  let same = 0;
  while (same < old.length && old[same] === now[same]) same++;
  return { erase: old.length - same, text: now.slice(same).join("") };
}

/** X11's name for a character. */
export function keysymOf(char: string): number {
  if (char === "\n") return XK_RETURN;
  if (char === "\t") return XK_TAB;
  const point = char.codePointAt(0) ?? 0;
  return point < 0x100 ? point : XK_UNICODE | point;
}

/** The keys of a US keyboard beside the letters: each with what it types without and with Shift. */
const US_KEYS: readonly (readonly [code: string, plain: string, shifted: string])[] = [
  ["Backquote", "`", "~"],
  ["Digit1", "1", "!"],
  ["Digit2", "2", "@"],
  ["Digit3", "3", "#"],
  ["Digit4", "4", "$"],
  ["Digit5", "5", "%"],
  ["Digit6", "6", "^"],
  ["Digit7", "7", "&"],
  ["Digit8", "8", "*"],
  ["Digit9", "9", "("],
  ["Digit0", "0", ")"],
  ["Minus", "-", "_"],
  ["Equal", "=", "+"],
  ["BracketLeft", "[", "{"],
  ["BracketRight", "]", "}"],
  ["Backslash", "\\", "|"],
  ["Semicolon", ";", ":"],
  ["Quote", "'", '"'],
  ["Comma", ",", "<"],
  ["Period", ".", ">"],
  ["Slash", "/", "?"],
  ["Space", " ", ""],
  ["Enter", "\n", ""],
  ["Tab", "\t", ""],
  ...[..."abcdefghijklmnopqrstuvwxyz"].map((a) => [`Key${a.toUpperCase()}`, a, a.toUpperCase()] as const),
];

const US_STROKES: ReadonlyMap<string, Stroke> = new Map(US_KEYS.flatMap(charsOf));

/** A key's characters, each with what presses it. */
function charsOf([code, plain, shifted]: (typeof US_KEYS)[number]): [string, Stroke][] {
  const both: [string, Stroke][] = [
    [plain, { keysym: keysymOf(plain), code, shift: false }],
    [shifted, { keysym: keysymOf(shifted), code, shift: true }],
  ];
  return both.filter(([char]) => char !== "");
}

/** The key for a character; one that the US keyboard lacks is named all the same, for servers that find a way. */
export function strokeOf(char: string): Stroke {
  return US_STROKES.get(char) ?? { keysym: keysymOf(char), code: null, shift: false };
}

/** What can be typed of a text, and which characters cannot, each once. */
export function strokesOf(text: string): { strokes: Stroke[]; untypable: string[] } {
  const chars = [...text.replaceAll("\r\n", "\n")];
  return {
    strokes: chars.flatMap((char) => US_STROKES.get(char) ?? []),
    untypable: [...new Set(chars.filter((char) => !US_STROKES.has(char)))],
  };
}
