/** The tools in the viewer's bar: keys, typing, clipboard, power, picture. */
import { readFile } from "node:fs/promises";
import { PNG } from "pngjs";
import { describe, expect, it } from "vitest";
import { keysymOf } from "../../functions/console/page/keystrokes.ts";
import { noChromium, stage } from "./page-stage.ts";
import type { Viewer } from "./viewer.ts";

const SOON = { timeout: 10_000 };
const [CTRL, ALT, DELETE, F2] = [0xffe3, 0xffe9, 0xffff, 0xffbf];

describe.skipIf(noChromium)("the viewer's tools", () => {
  const here = stage();
  const down = (keysym: number) => ({ keysym, down: true });
  const up = (keysym: number) => ({ keysym, down: false });
  const typed = () =>
    here.edge.typed
      .filter((key) => key.down)
      .map(({ keysym }) => String.fromCodePoint(keysym))
      .join("");
  const onCanvas = ({ page }: Viewer) => page.evaluate(() => document.activeElement?.tagName === "CANVAS");

  it("sends the chords that a browser keeps for itself, and gives the keyboard back", async () => {
    const viewer = await here.open();
    const { page } = viewer;
    await page.locator("#keys").click();
    await page.getByRole("button", { name: "Ctrl-Alt-Del" }).click();
    const three = [down(CTRL), down(ALT), down(DELETE), up(DELETE), up(ALT), up(CTRL)];
    await expect.poll(() => here.edge.typed, SOON).toEqual(three);
    expect(await onCanvas(viewer)).toBe(true);
    await page.getByRole("button", { name: "Ctrl-Alt-F2", exact: true }).click();
    const console2 = [down(CTRL), down(ALT), down(F2), up(F2), up(ALT), up(CTRL)];
    await expect.poll(() => here.edge.typed.slice(three.length), SOON).toEqual(console2);
  });

  it("holds a key for the next one, and no longer", async () => {
    const viewer = await here.open();
    const { page } = viewer;
    await page.locator("#keys").click();
    const ctrl = page.getByRole("button", { name: "Ctrl", exact: true });
    await ctrl.click();
    expect(await ctrl.getAttribute("aria-pressed")).toBe("true");
    await page.keyboard.press("c");
    const c = keysymOf("c");
    await expect.poll(() => here.edge.typed, SOON).toEqual([down(CTRL), down(c), up(c), up(CTRL)]);
    expect(await ctrl.getAttribute("aria-pressed")).toBe("false");
    await page.keyboard.press("d");
    await expect.poll(() => here.edge.typed.slice(4), SOON).toEqual([down(keysymOf("d")), up(keysymOf("d"))]);
  });

  it("types a text after saying what it cannot type", async () => {
    const viewer = await here.open();
    const { page } = viewer;
    await page.locator("#more").click();
    await page.getByRole("button", { name: "Type a text…" }).click();
    await page.getByLabel("Text to type").fill("é ls ~€\u200b");
    await page.getByRole("button", { name: "Type", exact: true }).click();
    const warning = page.locator("#typing-warning");
    await warning.waitFor();
    expect(await warning.textContent()).toContain("no key for é € U+200B.");
    expect(here.edge.typed).toEqual([]);
    await page.getByRole("button", { name: "Type without them" }).click();
    await page.getByText("The text was typed.").waitFor();
    const shift = String.fromCodePoint(0xffe1);
    expect(typed()).toBe(` ls ${shift}~`);
    expect(await page.locator("#typing-dialog").isVisible()).toBe(false);
    expect(await onCanvas(viewer)).toBe(true);
  });

  it("stops typing on the person's word", async () => {
    const viewer = await here.open();
    const { page } = viewer;
    const text = "a".repeat(2000);
    await page.locator("#more").click();
    await page.getByRole("button", { name: "Type a text…" }).click();
    await page.getByLabel("Text to type").fill(text);
    await page.getByRole("button", { name: "Type", exact: true }).click();
    await expect.poll(() => typed().length, SOON).toBeGreaterThan(2);
    await page.getByRole("button", { name: "Stop" }).click();
    await page.getByText("Typing was stopped.").waitFor();
    // What comes after it in the same stream shows that nothing else was on its way.
    await viewer.press("z");
    await expect.poll(() => typed().endsWith("z"), SOON).toBe(true);
    expect(typed().length).toBeLessThan(text.length);
    expect(typed()).toMatch(/^a+z$/);
  });

  it("moves the clipboard both ways, on a press only", async () => {
    const viewer = await here.open({ permissions: ["clipboard-read", "clipboard-write"] });
    const { page } = viewer;
    here.edge.copy("from the guest");
    await page.getByText("The server copied a text.").waitFor();
    await page.locator("#clipboard").click();
    const text = page.getByLabel("Text of the clipboard");
    expect(await text.inputValue()).toBe("from the guest");
    expect(await page.evaluate(() => navigator.clipboard.readText())).not.toBe("from the guest");
    await page.getByRole("button", { name: "Copy", exact: true }).click();
    await page.getByText("Copied.").waitFor();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe("from the guest");

    await page.evaluate(() => navigator.clipboard.writeText("from the person"));
    await page.getByRole("button", { name: "Paste", exact: true }).click();
    await expect.poll(() => text.inputValue(), SOON).toBe("from the person");
    expect(here.edge.pasted).toEqual([]);
    await page.getByRole("button", { name: "Send to the server" }).click();
    await expect.poll(() => here.edge.pasted, SOON).toEqual(["from the person"]);
  });

  it("says so when the browser keeps its clipboard to itself", async () => {
    const { page } = await here.open();
    await page.locator("#clipboard").click();
    await page.getByRole("button", { name: "Paste", exact: true }).click();
    await page.getByText("The browser does not allow it.").waitFor();
  });

  it("saves the picture as a PNG that is named after the server", async () => {
    const viewer = await here.open();
    const { page } = viewer;
    await page.locator("#more").click();
    const download = page.waitForEvent("download");
    await page.getByRole("button", { name: "Save a picture" }).click();
    const file = await download;
    expect(file.suggestedFilename()).toMatch(/^web-1 \d{4}-\d\d-\d\d \d\d\.\d\d\.\d\d\.png$/);
    const saved = PNG.sync.read(await readFile(await file.path()));
    expect([saved.width, saved.height]).toEqual([800, 600]);
    expect(await onCanvas(viewer)).toBe(true);
  });

  it("asks before it switches the server, and does nothing on a no", async () => {
    const viewer = await here.open();
    const { page } = viewer;
    const reset = page.locator("#power-panel").getByRole("button", { name: "Reset" });
    const sure = page.getByRole("dialog", { name: "Reset web-1?" });
    await page.locator("#power").click();
    await reset.click();
    await sure.getByRole("button", { name: "Cancel" }).click();
    await page.locator("#power").click();
    await reset.click();
    await page.keyboard.press("Escape");
    await sure.waitFor({ state: "hidden" });
    expect(here.edge.orders).toEqual([]);
    await page.locator("#power").click();
    await reset.click();
    await sure.getByRole("button", { name: "Reset" }).click();
    await page.getByText("The server is reset.").waitFor();
    expect(here.edge.orders).toEqual(["reset"]);
    expect(await onCanvas(viewer)).toBe(true);
  });

  it("says what stands against an order", async () => {
    here.edge.cannot = "The server cannot start now: it is ACTIVE.";
    const { page } = await here.open();
    await page.locator("#power").click();
    await page.locator("#power-panel").getByRole("button", { name: "Start" }).click();
    await page.getByText(here.edge.cannot).waitFor();
    expect(here.edge.orders).toEqual([]);
  });

  it("shows the screen fitted, in its own size, and in the window's where the server can", async () => {
    const { edge } = here;
    const viewer = await here.open({ viewport: { width: 700, height: 500 } });
    const { page } = viewer;
    const shown = () => page.locator("#screen canvas").evaluate((canvas) => canvas.getBoundingClientRect().width);
    expect(await shown()).toBeLessThan(700);
    await page.locator("#display").click();
    await page.getByRole("button", { name: "1:1" }).click();
    await expect.poll(shown, SOON).toBe(800);
    edge.resizable();
    await page.getByRole("button", { name: "Resize" }).click();
    const area = await page.locator("#screen").evaluate(({ clientWidth, clientHeight }) => [clientWidth, clientHeight]);
    await expect.poll(() => edge.sizes, SOON).toEqual([{ width: area[0], height: area[1] }]);
    // It is remembered in this browser.
    await page.reload();
    await viewer.waitForState("connected");
    await page.locator("#display").click();
    expect(await page.getByRole("button", { name: "Resize" }).getAttribute("aria-pressed")).toBe("true");
  });

  it("asks the server for another quality of the picture", async () => {
    const { page } = await here.open();
    await expect.poll(() => here.edge.qualities.at(-1), SOON).toBe(6);
    await page.locator("#display").click();
    await page.getByRole("button", { name: "Fast" }).click();
    await expect.poll(() => here.edge.qualities.at(-1), SOON).toBe(1);
    await page.getByRole("button", { name: "Sharp" }).click();
    await expect.poll(() => here.edge.qualities.at(-1), SOON).toBe(9);
  });

  it("fills the monitor and leaves it", async () => {
    const { page } = await here.open();
    await page.getByRole("button", { name: "Full screen" }).click();
    await expect.poll(() => page.evaluate(() => document.fullscreenElement?.tagName), SOON).toBe("HTML");
    await page.getByRole("button", { name: "Leave full screen" }).focus();
    await page.keyboard.press("Enter");
    await expect.poll(() => page.evaluate(() => document.fullscreenElement), SOON).toBeNull();
    await page.getByRole("button", { name: "Full screen", exact: true }).waitFor();
  });
});
