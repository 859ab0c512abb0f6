/** What this browser remembers of how its person likes a console. */

export const SIZES = ["fit", "actual", "resize"] as const;
export type Size = (typeof SIZES)[number];
export const QUALITIES = ["sharp", "balanced", "fast"] as const;
export type Quality = (typeof QUALITIES)[number];

/** noVNC's two dials for each: the quality of JPEG, and how hard the server packs, 0 … 9. */
export const PICTURE: Record<Quality, { jpeg: number; compression: number }> = {
  sharp: { jpeg: 9, compression: 1 },
  balanced: { jpeg: 6, compression: 2 },
  fast: { jpeg: 1, compression: 7 },
};

export type Settings = { size: Size; quality: Quality; language: string | null };

const NAME = "console-settings";
const DEFAULT: Settings = { size: "fit", quality: "balanced", language: null };

/** What is stored may be of another version, or not be ours: what does not fit is the default. */
export function readSettings(stored: string | null): Settings {
  try {
    const { size, quality, language } = JSON.parse(stored ?? "{}") as Partial<Settings>;
    return {
      size: SIZES.find((known) => known === size) ?? DEFAULT.size,
      quality: QUALITIES.find((known) => known === quality) ?? DEFAULT.quality,
      language: typeof language === "string" ? language : DEFAULT.language,
    };
  } catch {
    return { ...DEFAULT };
  }
}

export function loadSettings(): Settings {
  try {
    return readSettings(localStorage.getItem(NAME));
  } catch {
    return { ...DEFAULT };
  }
}

export function saveSettings(settings: Settings): void {
  try {
    localStorage.setItem(NAME, JSON.stringify(settings));
  } catch {
    // They hold until the page is closed.
  }
}
