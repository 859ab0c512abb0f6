/** The API's reference in a real Chromium: as dark as the reader's system, on a phone, by keyboard, within its policy. */
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestEdge, type TestEdge } from "../edge.ts";
import { needs } from "./requirement.ts";
import { launchBrowser } from "./viewer.ts";

const there = needs("The reference's test", ["/usr/bin/chromium"], "chromium");

let edge: TestEdge;
let browser: Browser;
const problems: string[] = [];

describe.skipIf(!there)("the reference", () => {
  beforeAll(async () => {
    edge = await startTestEdge();
    browser = await launchBrowser();
  });
  afterAll(async () => {
    await browser?.close();
    await edge?.close();
  });

  async function open(options: Parameters<Browser["newPage"]>[0]): Promise<Page> {
    const page = await browser.newPage(options);
    page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
    page.on("pageerror", (error) => problems.push(error.message));
    page.on("request", (request) => {
      const url = request.url();
      if (!url.startsWith(edge.url) && !url.startsWith("data:")) problems.push(`it asked ${url}`);
    });
    await page.goto(`${edge.url}/docs`);
    await page.waitForSelector(".opblock-tag");
    return page;
  }

  it.each(["dark", "light"] as const)("is %s when the system is", async (colorScheme) => {
    const page = await open({ colorScheme });
    const [red] = await page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g) ?? []);
    expect(await page.locator("html.dark-mode").count()).toBe(colorScheme === "dark" ? 1 : 0);
    if (colorScheme === "dark") expect(Number(red)).toBeLessThan(64);
    await page.close();
  });

  it("opens an operation by keyboard, with its body and who may call it", async () => {
    const page = await open({});
    await page.locator("#operations-tag-servers button.expand-operation").focus();
    await page.keyboard.press("Enter");
    await page.locator("#operations-servers-post-servers button.opblock-summary-control").focus();
    await page.keyboard.press("Enter");
    const shown = page.locator("#operations-servers-post-servers .opblock-body");
    // It opens empty, and is filled when its schema has been read.
    for (const text of ["os_compute_api:servers:create", "flavorRef"]) await shown.filter({ hasText: text }).waitFor();
    await page.close();
  });

  it("fits a phone", async () => {
    const page = await open({ viewport: { width: 360, height: 740 } });
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(360);
    await page.goto(`${edge.url}/docs#/servers/post-servers`);
    await page.reload();
    await page.locator("#operations-servers-post-servers .opblock-body").waitFor();
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(360);
    await page.close();
  });

  it("asks no one else, and stays within its policy", () => {
    expect(problems).toEqual([]);
  });
});
