/** Debian's noVNC pages, as they are, served from another origin: they open our consoles. */
import { once } from "node:events";
import { createReadStream, existsSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { extname, join, normalize } from "node:path";
import type { Browser, Page } from "playwright-core";
import { PNG } from "pngjs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { demoImage, startTestEdge, type TestEdge, until } from "../edge.ts";
import { terminal } from "../fake-terminal.ts";
import { needs } from "./requirement.ts";
import { launchBrowser } from "./viewer.ts";

const PAGES = "/usr/share/novnc";
const missing = !needs("the test of stock noVNC", [join(PAGES, "vnc.html"), "/usr/bin/chromium"], "novnc chromium");
const TYPES: Record<string, string> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".json": "application/json",
  ".svg": "image/svg+xml",
};

type Picture = { width: number; height: number; data: Buffer };

describe.skipIf(missing)("noVNC as Debian ships it", () => {
  let edge: TestEdge;
  let server: string;
  let pages: Server;
  let origin: string;
  let browser: Browser;

  beforeAll(async () => {
    pages = createServer((request, response) => {
      const path = join(PAGES, normalize(new URL(request.url ?? "/", "http://x").pathname));
      if (!path.startsWith(PAGES) || !existsSync(path)) return void response.writeHead(404).end();
      response.writeHead(200, { "content-type": TYPES[extname(path)] ?? "application/octet-stream" });
      createReadStream(path).pipe(response);
    }).listen(0, "127.0.0.1");
    await once(pages, "listening");
    const address = pages.address();
    origin = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
    edge = await startTestEdge({ CONSOLE_ALLOWED_ORIGINS: origin });
    await edge.agent("one");
    server = await edge.cloud.createServer("a", await demoImage(edge.cloud), "1");
    expect((await edge.cloud.built(server, 20_000)).status).toBe("ACTIVE");
    browser = await launchBrowser();
  });
  afterAll(async () => {
    await browser?.close();
    await edge?.close();
    pages?.closeAllConnections();
    pages?.close();
  });

  /** The address of a stock page that is told where our console is, by the parameters it documents. */
  async function address(page: string, more: Record<string, string> = {}): Promise<string> {
    const token = new URL(await edge.cloud.consoleUrl(server)).searchParams.get("token");
    const { hostname, port } = new URL(edge.url);
    const query = new URLSearchParams({ ...more, host: hostname, port, path: `?token=${token}` });
    return `${origin}/${page}?${query}`;
  }

  async function picture(page: Page): Promise<Picture | null> {
    const url = await page.evaluate(() => {
      const canvas = document.querySelector<HTMLCanvasElement>("#screen canvas, #noVNC_container canvas");
      return canvas === null || canvas.width === 0 ? null : canvas.toDataURL("image/png");
    });
    return url === null ? null : PNG.sync.read(Buffer.from(url.slice(url.indexOf(",") + 1), "base64"));
  }

  it.each([
    ["vnc_lite.html", {}],
    ["vnc.html", { autoconnect: "1" }],
    ["vnc_auto.html", { autoconnect: "1" }],
  ])("%s shows the screen and passes on what is typed", async (name, more) => {
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    const problems: string[] = [];
    page.on("pageerror", (error) => problems.push(String(error)));
    try {
      await page.goto(await address(name, more));
      const shown = await until(async () => {
        const now = await picture(page);
        return now !== null && terminal(now) !== null ? now : null;
      }, "the screen is shown");
      expect([shown.width, shown.height]).toEqual([800, 600]);
      // noVNC 1.3 leaves a pixel's fourth byte as the server sent it: nothing may shine through.
      expect(shown.data.filter((_, i) => i % 4 === 3).every((alpha) => alpha === 255)).toBe(true);
      await page.locator("#screen canvas, #noVNC_container canvas").focus();
      await page.keyboard.type("stock", { delay: 20 });
      const before = terminal(shown) as Buffer;
      await until(async () => {
        const now = await picture(page);
        return now !== null && terminal(now)?.equals(before) === false;
      }, "what is typed appears");
      expect(problems).toEqual([]);
    } finally {
      await page.close();
    }
  });

  it("is refused from an origin that is not allowed", async () => {
    const page = await browser.newPage();
    try {
      // The same pages under another name of this machine: another origin.
      await page.goto((await address("vnc_lite.html")).replace("127.0.0.1", "localhost"));
      await page.getByText(/Disconnected|Something went wrong/).waitFor({ timeout: 15_000 });
      expect(await picture(page)).toBeNull();
    } finally {
      await page.close();
    }
  });
});
