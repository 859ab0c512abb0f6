/** The picture as a file. */
import type { Screen } from "./screen.ts";

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

/** Saves the picture among the downloads; false when there is none. */
export async function saveScreenshot(screen: Screen, server: string): Promise<boolean> {
  const picture = await screen.picture();
  if (picture === null) return false;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(picture);
  link.download = fileName(server, new Date());
  link.click();
  // The download has its own hold on the file as soon as it has begun.
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  return true;
}
