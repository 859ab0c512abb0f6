/** Drives the console viewer page in a real Chromium. The page's `data-state` is what every wait looks at. */
import { type Browser, chromium, type Page } from "playwright-core";
import { PNG } from "pngjs";
import type { State } from "../../functions/console/page/status.ts";

export type { State };

/** The guest's picture as the viewer holds it, unscaled; `data` is RGBA, four bytes a pixel. */
export type Picture = { width: number; height: number; data: Buffer };

export type ViewerOptions = {
  /** Window size in CSS pixels. */
  viewport?: { width: number; height: number };
  colorScheme?: "dark" | "light";
  /** As on a telephone: fingers, and no mouse. */
  touch?: boolean;
  /** The browser's language. */
  locale?: string;
  /** What the browser allows the page without asking. */
  permissions?: string[];
  /** Reused and left open when given; else the viewer starts its own and closes it. */
  browser?: Browser;
};

export type Viewer = {
  page: Page;
  /** Console errors, uncaught exceptions and policy violations so far. A refused WebSocket is one of them. */
  problems: readonly string[];
  state(): Promise<State>;
  /** Resolves once the page is in this state, also when it already was. */
  waitForState(state: State, timeoutMs?: number): Promise<void>;
  /** Resolves with the first picture that satisfies `wanted`. */
  waitForPicture(wanted: (picture: Picture) => boolean, timeoutMs?: number): Promise<Picture>;
  /** Null while no picture is on the page. */
  picture(): Promise<Picture | null>;
  /** Types into the guest as a person would, one key after the other. */
  type(text: string): Promise<void>;
  /** One key or chord for the guest, in Playwright's notation: `Enter`, `Control+c`. */
  press(key: string): Promise<void>;
  /** The reason that the page shows; empty while there is none. */
  reason(): Promise<string>;
  reconnect(): Promise<void>;
  close(): Promise<void>;
};

const TIMEOUT_MS = 15_000;
const PICTURE_POLL_MS = 100;
/** Between two keys: a guest in emulation that reads its keyboard by polling loses faster ones. */
const KEY_DELAY_MS = 40;

/** Characters that need Shift on a US keyboard. */
const SHIFTED = /[A-Z~!@#$%^&*()_+{}|:"<>?]/;

const CHROMIUM_ARGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Starts the machine's Chromium, without a window. */
export function launchBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: "/usr/bin/chromium", args: CHROMIUM_ARGS });
}

/** Opens a console link as a person would and returns at once: wait for the state that the test is about. */
export async function openViewer(url: string, options: ViewerOptions = {}): Promise<Viewer> {
  const browser = options.browser ?? (await launchBrowser());
  const context = await browser.newContext({
    viewport: options.viewport ?? { width: 1280, height: 800 },
    colorScheme: options.colorScheme ?? "dark",
    hasTouch: options.touch ?? false,
    isMobile: options.touch ?? false,
    locale: options.locale ?? "en-US",
    permissions: options.permissions ?? [],
  });
  const page = await context.newPage();
  const problems: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error") problems.push(message.text());
  });
  page.on("pageerror", (error) => problems.push(String(error)));
  await page.goto(url);

  const picture = () => readPicture(page);
  return {
    page,
    problems,
    state: () => page.evaluate(() => document.documentElement.dataset.state as State),
    waitForState: (state, timeoutMs = TIMEOUT_MS) => waitForState(page, state, timeoutMs),
    waitForPicture: (wanted, timeoutMs = TIMEOUT_MS) => waitForPicture(picture, wanted, timeoutMs),
    picture,
    async type(text) {
      await page.locator("#screen canvas").focus();
      for (const char of text) await typeChar(page, char);
    },
    async press(key) {
      await page.locator("#screen canvas").focus();
      await page.keyboard.press(key, { delay: KEY_DELAY_MS });
    },
    reason: async () => (await page.locator("#reason").textContent()) ?? "",
    reconnect: () => page.locator("#reconnect").click(),
    async close() {
      await context.close();
      if (options.browser === undefined) await browser.close();
    },
  };
}

/** Playwright's own `type` gives a capital letter without its Shift, which a guest that reads scan codes needs. */
async function typeChar(page: Page, char: string): Promise<void> {
  const shift = SHIFTED.test(char);
  if (shift) await page.keyboard.down("Shift");
  await page.keyboard.press(char === "\n" ? "Enter" : char, { delay: KEY_DELAY_MS });
  if (shift) await page.keyboard.up("Shift");
  await page.waitForTimeout(KEY_DELAY_MS);
}

async function waitForState(page: Page, state: State, timeoutMs: number): Promise<void> {
  const reached = page.locator(`html[data-state="${state}"]`).waitFor({ state: "attached", timeout: timeoutMs });
  await reached.catch(async () => {
    const now = await page.evaluate(() => document.documentElement.dataset.state);
    const reason = await page.locator("#reason").textContent();
    throw new Error(`the viewer is not ${state} after ${timeoutMs} ms but ${now}: ${reason || "no reason shown"}`);
  });
}

async function readPicture(page: Page): Promise<Picture | null> {
  const url = await page.evaluate(() => {
    const canvas = document.querySelector<HTMLCanvasElement>("#screen canvas");
    return canvas === null || canvas.width === 0 || canvas.height === 0 ? null : canvas.toDataURL("image/png");
  });
  return url === null ? null : PNG.sync.read(Buffer.from(url.slice(url.indexOf(",") + 1), "base64"));
}

async function waitForPicture(
  picture: () => Promise<Picture | null>,
  wanted: (picture: Picture) => boolean,
  timeoutMs: number,
): Promise<Picture> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const seen = await picture();
    if (seen !== null && wanted(seen)) return seen;
    if (Date.now() > deadline) {
      throw new Error(`no such picture in ${timeoutMs} ms; last: ${seen ? `${seen.width}x${seen.height}` : "none"}`);
    }
    await new Promise((done) => setTimeout(done, PICTURE_POLL_MS));
  }
}
