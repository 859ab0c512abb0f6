/** The viewer page for everybody: by the keyboard alone, by ear, by touch, in Chinese, dark or light, small or large. */
import type { Page } from "playwright-core";
import { describe, expect, it } from "vitest";
import { keysymOf } from "../../functions/console/page/keystrokes.ts";
import { type PageEdge, person } from "../page-edge.ts";
import { noChromium, stage } from "./page-stage.ts";

const SOON = { timeout: 10_000 };
const PHONE = { viewport: { width: 360, height: 640 }, touch: true };
const BACKSPACE = 0xff08;
const PANELS = ["people", "keys", "clipboard", "power", "display", "more"];
/** What WCAG 2.2 asks of text: success criterion 1.4.3. */
const ENOUGH_CONTRAST = 4.5;

describe.skipIf(noChromium)("the viewer page for everybody", () => {
  const here = stage();
  const focus = (page: Page) => page.evaluate(() => document.activeElement?.id || document.activeElement?.tagName);
  const three = (edge: PageEdge) => {
    edge.people = {
      t: "people",
      you: 1,
      sharing: "one",
      control: 1,
      people: [
        person(1, "Ada", { owner: true }),
        person(2, "Grace Brewster Murray Hopper of the Eckert-Mauchly Computer Corp"),
        person(3, "", { input: false }),
      ],
    };
  };

  it("is worked by the keyboard alone: into the bar, along it, into a panel, and back", async () => {
    const viewer = await here.open();
    const { page } = viewer;
    expect(await focus(page)).toBe("CANVAS");
    // Here are keys enough.
    expect(await page.locator("#keyboard").isVisible()).toBe(false);
    await viewer.press("Control+Alt+Home");
    expect(await focus(page)).toBe("people");
    // Neither is left down in the guest.
    await expect.poll(() => here.edge.typed.filter((key) => !key.down).length, SOON).toBe(2);
    for (const next of ["keys", "clipboard", "power", "display", "full-screen", "more"]) {
      await page.keyboard.press("ArrowRight");
      expect(await focus(page)).toBe(next);
    }
    await page.keyboard.press("ArrowLeft");
    expect(await focus(page)).toBe("full-screen");
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("Enter");
    expect(await page.locator("#display-panel").isVisible()).toBe(true);
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("Enter");
    expect(await page.getByRole("button", { name: "1:1" }).getAttribute("aria-pressed")).toBe("true");
    await page.keyboard.press("Escape");
    expect(await page.locator("#display-panel").isVisible()).toBe(false);
    expect(await focus(page)).toBe("display");
    await page.keyboard.press("Escape");
    expect(await focus(page)).toBe("CANVAS");
    expect(here.edge.typed.filter(({ keysym }) => keysym < 0xffe0)).toEqual([]);
  });

  it("leaves dialogs by Esc, and the focus where it came from", async () => {
    const { page } = await here.open();
    await page.locator("#more").press("Enter");
    await page.locator("#type-text").press("Enter");
    expect(await focus(page)).toBe("typing-text");
    await page.keyboard.press("Escape");
    await expect.poll(() => focus(page), SOON).toBe("more");
    await page.locator("#power").press("Enter");
    await page.locator('[data-order="stop"]').press("Enter");
    await page.getByRole("dialog", { name: "Stop web-1?" }).waitFor();
    await page.keyboard.press("Escape");
    await expect.poll(() => focus(page), SOON).toBe("power");
  });

  it("loses the focus to nothing when a panel closes, however it is closed", async () => {
    three(here.edge);
    const { page } = await here.open();
    for (const panel of PANELS) {
      const toggle = page.locator(`#${panel}`);
      const opened = page.locator(`#${panel}-panel`);
      await toggle.click();
      await opened.waitFor();
      expect(await opened.evaluate((element) => element.contains(document.activeElement))).toBe(true);
      await toggle.click();
      expect(await focus(page)).toBe("CANVAS");
      await toggle.click();
      // Beside the picture, and then on the bar where it has nothing.
      await page.mouse.click(20, 400);
      await opened.waitFor({ state: "hidden" });
      expect(await focus(page)).toBe("CANVAS");
      await toggle.click();
      await page.mouse.click(400, 20);
      await opened.waitFor({ state: "hidden" });
      expect(await focus(page)).toBe("CANVAS");
    }
    // A window that becomes narrow has other panels.
    await page.locator("#display").click();
    await page.setViewportSize({ width: 600, height: 800 });
    await page.locator("#display-panel").waitFor({ state: "hidden" });
    expect(await focus(page)).toBe("CANVAS");
  });

  it("says every change of state, and has a name for every button", async () => {
    const viewer = await here.open();
    const { page } = viewer;
    const said = page.locator("#announcement");
    expect(await said.getAttribute("role")).toBe("status");
    expect(await said.textContent()).toBe("Connected");
    here.edge.refuse("host_offline");
    here.edge.cut();
    await expect.poll(() => said.textContent(), SOON).toMatch(/^Coming back…\. The server's host has been offline\./);
    here.edge.allow();
    await expect.poll(() => said.textContent(), SOON).toBe("Connected");
    expect(await page.locator("#screen canvas").getAttribute("aria-label")).toContain("Screen of web-1.");
    for (const button of await page.locator("#bar button:visible").all()) {
      const name = (await button.getAttribute("aria-label")) ?? (await button.textContent());
      expect(name?.trim()).not.toBe("");
    }
    await page.getByRole("button", { name: "1 person is here" }).waitFor();
  });

  it("speaks Chinese to those who read it, and English on their word", async () => {
    const { page } = await here.open({ locale: "zh-CN" });
    const lang = () => page.evaluate(() => document.documentElement.lang);
    expect(await lang()).toBe("zh-Hans");
    expect(await page.locator("#announcement").textContent()).toBe("已连接");
    await page.getByRole("button", { name: "更多" }).click();
    await page.getByRole("button", { name: "English" }).click();
    expect(await lang()).toBe("en");
    expect(await page.locator("#announcement").textContent()).toBe("Connected");
    expect(await page.locator("#screen canvas").getAttribute("aria-label")).toContain("Screen of web-1.");
    await page.reload();
    await expect.poll(lang, SOON).toBe("en");
  });

  it("fits a phone, with every panel", async () => {
    three(here.edge);
    const { page } = await here.open(PHONE);
    expect(await outside(page)).toEqual([]);
    for (const panel of PANELS) {
      const toggle = page.locator(`#${panel}`);
      if (!(await toggle.isVisible())) await page.locator("#more").tap();
      await toggle.tap();
      await page.locator(`#${panel}-panel`).waitFor();
      expect(await outside(page)).toEqual([]);
      expect(await clipped(page)).toEqual([]);
    }
    here.edge.tell({ t: "asked", by: 2 });
    await page.locator("#asked").waitFor();
    expect(await outside(page)).toEqual([]);
  });

  it("types by a phone's own keyboard", async () => {
    const { page } = await here.open(PHONE);
    await page.getByRole("button", { name: "Show or hide the keyboard" }).tap();
    expect(await focus(page)).toBe("typing");
    await page.keyboard.insertText("l");
    await page.keyboard.insertText("s");
    await page.keyboard.press("Backspace");
    const strokes = () => here.edge.typed.filter((key) => key.down).map(({ keysym }) => keysym);
    await expect.poll(strokes, SOON).toEqual([keysymOf("l"), keysymOf("s"), BACKSPACE]);
    // Pointing at the picture does not put the keyboard away, and the button does.
    await page.locator("#screen canvas").tap();
    expect(await focus(page)).toBe("typing");
    await page.getByRole("button", { name: "Show or hide the keyboard" }).tap();
    expect(await focus(page)).not.toBe("typing");
  });

  it.each(["dark", "light"] as const)("can be read when it is %s", async (colorScheme) => {
    three(here.edge);
    const { page } = await here.open({ colorScheme });
    expect(await page.evaluate(() => getComputedStyle(document.documentElement).colorScheme)).toBe(colorScheme);
    for (const panel of PANELS) {
      await page.locator(`#${panel}`).click();
      await page.mouse.move(600, 600);
      for (const { text, contrast } of await contrasts(page)) {
        expect.soft(contrast, `${panel}: ${text}`).toBeGreaterThanOrEqual(ENOUGH_CONTRAST);
      }
    }
  });

  it("gives a large monitor to the screen, and a bar that can be read there", async () => {
    const { page } = await here.open({ viewport: { width: 3840, height: 2160 } });
    const box = async (selector: string) => (await page.locator(selector).boundingBox()) ?? { width: 0, height: 0 };
    const [bar, canvas] = [await box("#bar"), await box("#screen canvas")];
    expect(bar.height).toBeLessThan(2160 * 0.035);
    expect(canvas.height).toBeCloseTo(2160 - bar.height, 0);
    expect(canvas.width / canvas.height).toBeCloseTo(800 / 600, 2);
    const size = await page.locator("#name").evaluate((name) => Number.parseFloat(getComputedStyle(name).fontSize));
    expect(size).toBeGreaterThanOrEqual(20);
    expect(await outside(page)).toEqual([]);
  });
});

/** What is visible and reaches beyond the window's left or right edge. */
function outside(page: Page): Promise<string[]> {
  return page.evaluate(() =>
    [...document.body.querySelectorAll("*")]
      .filter((element) => element.checkVisibility() && element.closest("#screen, .unseen") === null)
      .filter((element) => {
        const { left, right } = element.getBoundingClientRect();
        return left < 0 || right > innerWidth;
      })
      .map((element) => element.id || element.outerHTML.slice(0, 80)),
  );
}

/** Buttons whose text is wider than they are. */
function clipped(page: Page): Promise<string[]> {
  return page.evaluate(() =>
    [...document.querySelectorAll<HTMLElement>("button")]
      .filter((button) => button.checkVisibility() && button.scrollWidth > button.clientWidth)
      .map((button) => button.textContent),
  );
}

/** Of each text in the bar that can be pressed or read: how it stands out from what it stands on (WCAG 2.2). */
function contrasts(page: Page): Promise<{ text: string; contrast: number }[]> {
  return page.evaluate(() => {
    const channels = (color: string) => (color.match(/[\d.]+/g) ?? []).map(Number);
    const luminance = (color: string) => {
      const [r = 0, g = 0, b = 0] = channels(color).map((value) => {
        const share = value / 255;
        return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (element: Element | null): string => {
      if (element === null) return "rgb(0, 0, 0)";
      const color = getComputedStyle(element).backgroundColor;
      return channels(color)[3] === 0 ? ground(element.parentElement) : color;
    };
    const own = (element: Element) => [...element.childNodes].filter(({ nodeType }) => nodeType === Node.TEXT_NODE);
    return [...document.querySelectorAll("#bar *")]
      .filter((element) => element.checkVisibility() && element.closest(":disabled") === null)
      .map((element) => ({
        element,
        text: own(element)
          .map(({ textContent }) => textContent?.trim())
          .join(""),
      }))
      .filter(({ text }) => text !== "")
      .map(({ element, text }) => {
        const [one, two] = [luminance(getComputedStyle(element).color), luminance(ground(element))];
        return { text, contrast: (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05) };
      });
  });
}
