/** The picture as a file. */
import { fileName } from "./file-name.ts";
import type { Screen } from "./screen.ts";

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
