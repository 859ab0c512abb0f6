/** From text to X11 keys. */

const XK_RETURN = 0xff0d;
/** Above Latin-1 a keysym is the code point with this bit (X11 protocol, appendix A). */
const XK_UNICODE = 0x01000000;

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
  const point = char.codePointAt(0) ?? 0;
  return point < 0x100 ? point : XK_UNICODE | point;
}
