/**
 * From a key to its pixel, in Chromium: this project's page beside Debian's noVNC at websockify. The page itself
 * measures, from the moment that the browser gives it the key to when the picture has changed: `on the canvas` at
 * noVNC's drawing, `in a frame` at the next animation frame, which is when a person can see it.
 */
import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Page } from "playwright-core";
import { launchBrowser } from "../real/viewer.ts";
import { type Bench, percentileRows } from "./bench.ts";
import { NOVNC } from "./target.ts";

const CHROMIUM = "/usr/bin/chromium";
const WARM_UP = 10;
const TIMEOUT_MS = 15_000;
/** Between two keys; the part by chance keeps them from marching in step with the browser's frames. */
const PAUSE_MS = 30;

const count = (quick: boolean) => (quick ? 20 : 100);

type Seen = { drawnMs: number; frameMs: number };

export const pixel: Bench = {
  name: "pixel",
  about: (quick) => `${count(quick)} keys, one at a time, in Chromium; websockify with Debian's noVNC`,
  async run(target, { quick }) {
    const missing = [CHROMIUM, ...(target.name === "websockify" ? [NOVNC] : [])].find((path) => !existsSync(path));
    if (missing !== undefined) {
      const note = `through ${target.name} no key was pressed: there is no ${missing} (apt-get install chromium novnc)`;
      return rows([]).map((row) => ({ ...row, note }));
    }
    const browser = await launchBrowser();
    try {
      const page = await browser.newPage();
      await page.addInitScript(measureKeys);
      await page.goto(await target.page());
      const canvas = page.locator("#screen canvas");
      await page.waitForFunction(isDrawn, null, { timeout: TIMEOUT_MS });
      await canvas.focus();
      for (let i = 0; i < WARM_UP; i++) await press(page);
      const seen: Seen[] = [];
      while (seen.length < count(quick)) seen.push(await press(page));
      return rows(seen);
    } finally {
      await browser.close();
    }
  },
};

function rows(seen: readonly Seen[]) {
  return [
    ...percentileRows(
      "key to pixel, on the canvas",
      seen.map(({ drawnMs }) => drawnMs),
    ),
    ...percentileRows(
      "key to pixel, in a frame",
      seen.map(({ frameMs }) => frameMs),
    ),
  ];
}

/** One key; resolves with what the page measured. */
async function press(page: Page): Promise<Seen> {
  await sleep(PAUSE_MS + Math.random() * PAUSE_MS);
  await page.keyboard.press("a");
  return page.evaluate(() => Reflect.get(window, "seen") as Promise<Seen>);
}

/** In the page: whether the stand-in's grey screen is there. */
function isDrawn(): boolean {
  const canvas = document.querySelector<HTMLCanvasElement>("#screen canvas");
  const grey = canvas?.getContext("2d")?.getImageData(canvas.width - 1, canvas.height - 1, 1, 1).data[0];
  return grey === 0x5a;
}

/** In the page, before any of its scripts: `seen` becomes what the last key took. */
function measureKeys(): void {
  /** Inside of the block that changes with each key; see screen-process.ts. */
  const at = 64;
  const giveUpMs = 15_000;
  const shade = () => {
    const canvas = document.querySelector<HTMLCanvasElement>("#screen canvas");
    return canvas?.getContext("2d")?.getImageData(at, at, 1, 1).data[0];
  };
  let onDraw = () => {};
  const draw = CanvasRenderingContext2D.prototype.drawImage;
  CanvasRenderingContext2D.prototype.drawImage = function (this: CanvasRenderingContext2D, ...args: unknown[]) {
    Reflect.apply(draw, this, args);
    onDraw();
  };
  const measured = (pressedMs: number, before: number | undefined) =>
    new Promise<Seen>((resolve, reject) => {
      let drawnMs: number | null = null;
      onDraw = () => {
        if (drawnMs === null && shade() !== before) drawnMs = performance.now() - pressedMs;
      };
      const look = () => {
        const frameMs = performance.now() - pressedMs;
        if (shade() !== before) resolve({ drawnMs: drawnMs ?? frameMs, frameMs });
        else if (frameMs > giveUpMs) reject(new Error("no pixel changed after a key"));
        else requestAnimationFrame(look);
      };
      requestAnimationFrame(look);
    });
  // Ahead of the page's own listeners.
  window.addEventListener("keydown", () => Reflect.set(window, "seen", measured(performance.now(), shade())), true);
}
