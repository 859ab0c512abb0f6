/** What a saved picture is called. */

/** What a file may not be called somewhere (Windows is the strictest), and what would hide it. */
const NOT_IN_NAMES = /[\p{Cc}\p{Cf}<>:"/\\|?*]|^\.+/gu;
/** Bytes that most file systems take in a name are 255; a character is four at most. */
const MAX_NAME_CHARS = 40;

/** `web-1 2026-11-28 03.20.11.png`, in this machine's own time. */
export function fileName(server: string, at: Date): string {
  const two = (value: number) => String(value).padStart(2, "0");
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  const time = [at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(".");
  const name = [...server.replace(NOT_IN_NAMES, "_")].slice(0, MAX_NAME_CHARS).join("").trim();
  return `${name || "console"} ${day} ${time}.png`;
}
