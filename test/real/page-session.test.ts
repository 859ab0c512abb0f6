/** The viewer page opens, comes back, ends, and moves between windows. */
import type { Page } from "playwright-core";
import { describe, expect, it } from "vitest";
import { CONSOLE_CLOSE } from "../../functions/protocol/console.ts";
import type { RefusedSession, Why } from "../../functions/protocol/console-session.ts";
import { SERVER, TOKEN } from "../page-edge.ts";
import { noChromium, stage } from "./page-stage.ts";

const OPEN = "/console/v1/sessions";
const RESUME = `${OPEN}/resume`;
const SOON = { timeout: 10_000 };

describe.skipIf(noChromium)("a console session in the page", () => {
  const here = stage();
  const resumes = () => here.edge.calls.filter(({ path }) => path === RESUME);
  const state = (page: Page) => page.evaluate(() => document.documentElement.dataset.state);

  it("opens by the link's token, which is then nowhere", async () => {
    const { page, problems } = await here.open({ query: `?token=${TOKEN}&title=web-1(${SERVER.id})` });
    expect(here.edge.calls).toEqual([
      { path: OPEN, body: { token: TOKEN, attempt: expect.stringMatching(/^[0-9a-f]{32}$/) } },
    ]);
    const seen = await page.evaluate(() => ({
      address: location.href,
      title: document.title,
      history: history.state,
      kept: { ...sessionStorage, ...localStorage },
      text: document.documentElement.outerHTML,
    }));
    expect(seen.title).toBe(`${SERVER.name} (${SERVER.id})`);
    expect(JSON.stringify(seen)).not.toContain(TOKEN);
    expect(problems).toEqual([]);

    await page.goto(`${here.edge.url}/vnc.html`);
    expect(await page.evaluate(() => document.referrer)).toBe("");
    await page.goBack();
    expect(page.url()).not.toContain(TOKEN);
    expect(here.edge.calls.filter(({ path }) => path === OPEN)).toHaveLength(1);
  });

  it("keeps the picture while the connection is gone, and comes back by itself with the session's key", async () => {
    const { edge } = here;
    const viewer = await here.open();
    const before = await viewer.waitForPicture(({ data }) => data[3] === 0xff);
    edge.refuse("host_offline");
    edge.cut();
    await viewer.waitForState("resuming");
    const { page } = viewer;
    expect(await page.locator("#heading").textContent()).toBe("Coming back…");
    const still = page.locator("#still canvas");
    expect(await still.isVisible()).toBe(true);
    expect(await still.evaluate((canvas: HTMLCanvasElement) => [canvas.width, canvas.height])).toEqual([
      before.width,
      before.height,
    ]);
    expect(
      await still.evaluate((canvas: HTMLCanvasElement) => canvas.getContext("2d")?.getImageData(0, 0, 1, 1).data[3]),
    ).toBe(0xff);
    edge.allow();
    await viewer.waitForState("connected");
    await still.waitFor({ state: "detached" });
    expect(Object.keys(resumes()[0]?.body ?? {})).toEqual(["key"]);
    expect(edge.calls.filter(({ path }) => path === OPEN)).toHaveLength(1);
    expect(JSON.stringify(resumes())).not.toContain(TOKEN);
    expect(await page.evaluate(() => document.activeElement?.tagName)).toBe("CANVAS");
  });

  it("notices that the edge is silent on a socket that stays open", async () => {
    const viewer = await here.open();
    here.edge.hush(true);
    here.edge.refuse("host_offline");
    // As after a sleep, when the page does not wait for the silence to last.
    await viewer.page.evaluate(() => dispatchEvent(new Event("online")));
    await viewer.waitForState("resuming");
    here.edge.hush(false);
    here.edge.allow();
    await viewer.waitForState("connected");
  });

  it("waits for an edge that cannot be reached", async () => {
    const viewer = await here.open();
    await here.edge.down();
    await viewer.waitForState("resuming");
    await expect.poll(() => viewer.reason(), SOON).toContain("cannot be reached");
    await here.edge.up();
    await viewer.waitForState("connected");
  });

  it("goes on after a reload, without the link", async () => {
    const viewer = await here.open();
    await viewer.page.reload();
    await viewer.waitForState("connected");
    expect(here.edge.calls.map(({ path }) => path)).toEqual([OPEN, RESUME]);
  });

  it.each([
    [CONSOLE_CLOSE.REVOKED, "withdrawn", "Ask for a new link."],
    [CONSOLE_CLOSE.KILLED, "ended by the server's owner", "Ask for a new link."],
    [CONSOLE_CLOSE.STOLEN, "its key was used in two places", "Ask for a new link."],
  ])("does not come back after %i, and says why", async (code, reason, next) => {
    const viewer = await here.open();
    const { page } = viewer;
    // From here the page's clock can be put forward.
    await page.clock.install();
    here.edge.cut(code);
    await viewer.waitForState("ended");
    expect(await viewer.reason()).toContain(reason);
    expect(await page.locator("#next").textContent()).toBe(next);
    expect(await page.locator("#reconnect").isVisible()).toBe(false);
    expect(await page.locator("#still canvas").count()).toBe(0);
    await page.clock.runFor(60_000);
    await page.evaluate(() => dispatchEvent(new Event("online")));
    await page.evaluate(() => fetch("/after-all"));
    expect(resumes()).toEqual([]);
  });

  it("moves to a tab that was duplicated, and back, and nobody is a thief", async () => {
    const first = await here.open();
    const twin = await duplicate(first.page);
    await first.waitForState("ended");
    expect(await first.page.locator("#heading").textContent()).toBe("This console goes on in another window");
    expect(await state(twin)).toBe("connected");

    await first.page.getByRole("button", { name: "Bring it here" }).click();
    await first.waitForState("connected");
    await twin.locator('html[data-state="ended"]').waitFor({ state: "attached" });
    await twin.getByRole("button", { name: "Bring it here" }).click();
    await first.waitForState("ended");
    await twin.locator('html[data-state="connected"]').waitFor({ state: "attached" });
    expect(here.edge.sockets).toBe(1);
  });

  it("is not taken for a thief when the tab that it left is loaded again", async () => {
    const first = await here.open();
    const twin = await duplicate(first.page);
    await first.waitForState("ended");
    await first.page.reload();
    await first.waitForState("ended");
    expect(await first.page.locator("#heading").textContent()).toBe("This console goes on in another window");
    expect(await state(twin)).toBe("connected");
    await first.reconnect();
    await first.waitForState("connected");
    await first.page.reload();
    await first.waitForState("connected");
  });

  it("says so when the other window does not give the console back", async () => {
    const first = await here.open();
    const twin = await duplicate(first.page);
    await first.waitForState("ended");
    await twin.close();
    await first.page.getByRole("button", { name: "Bring it here" }).click();
    await first.page.getByText("The other window did not answer.").waitFor();
  });

  it("asks for the PIN until it is right", async () => {
    const { edge } = here;
    edge.pin = "2468";
    const viewer = await here.open({ connects: false });
    const { page } = viewer;
    await viewer.waitForState("pin");
    expect(await viewer.reason()).toContain("has told you the PIN");
    await page.keyboard.type("1357\n");
    await expect.poll(() => viewer.reason(), SOON).toContain("That PIN is wrong.");
    expect(await page.locator("#pin").inputValue()).toBe("");
    await page.keyboard.type("2468\n");
    await viewer.waitForState("connected");
    expect(edge.calls.map(({ body }) => body.pin)).toEqual([undefined, "1357", "2468"]);
    expect(await page.content()).not.toContain("2468");
  });

  it.each<[Why, Partial<RefusedSession["refused"]>, string, string]>([
    ["expired", { ask: "Ada" }, "This link has expired.", "Ask Ada for a new link."],
    ["unknown", {}, "This link is not valid", "Ask for a new link."],
    ["locked", { ask: "Grace" }, "locked the server", "Ask Grace to unlock it."],
    ["server_gone", {}, "it was deleted", ""],
    ["too_many_requests", {}, "too many tries", "This page tries again in a moment."],
  ])("says why it is refused, and what to do: %s", async (why, more, reason, next) => {
    here.edge.refuse(why, more);
    const viewer = await here.open({ connects: false });
    await viewer.waitForState("ended");
    expect(await viewer.page.locator("#heading").textContent()).toBe("The console cannot open");
    expect(await viewer.reason()).toContain(reason);
    expect(await viewer.page.locator("#next").textContent()).toBe(next);
  });

  it("waits for a host that is offline, and does not say that it comes back where it never was", async () => {
    here.edge.refuse("host_offline", { since: new Date().toISOString() });
    const viewer = await here.open({ connects: false });
    await viewer.waitForState("resuming");
    expect(await viewer.page.locator("#heading").textContent()).toBe("The console is not there yet");
    expect(await viewer.reason()).toMatch(/^The server's host has been offline since \d/);
    here.edge.allow();
    await viewer.waitForState("connected");
  });

  it("tries a private console again on the person's word", async () => {
    here.edge.refuse("private");
    const viewer = await here.open({ connects: false });
    await viewer.waitForState("ended");
    here.edge.allow();
    await viewer.reconnect();
    await viewer.waitForState("connected");
  });

  it("starts a server that was stopped under it, and opens when it is up", async () => {
    const { edge } = here;
    const viewer = await here.open();
    edge.refuse("server_stopped", { power: true, ask: "Ada" });
    edge.cut(CONSOLE_CLOSE.SCREEN_CLOSED);
    await viewer.waitForState("ended");
    const { page } = viewer;
    expect(await page.locator("#heading").textContent()).toBe("The server is off");
    await page.getByRole("button", { name: "Start the server" }).click();
    await page.getByText("The server is told to start.").waitFor();
    expect(edge.orders).toEqual(["start"]);
    edge.allow();
    await viewer.waitForState("connected");
  });

  it("says what a link looks like, and opens one that comes in the fragment", async () => {
    const viewer = await here.open({ query: "", connects: false });
    await viewer.waitForState("no-link");
    expect(await viewer.page.locator("#example").isVisible()).toBe(true);
    await viewer.page.goto(`${here.edge.url}/vnc_auto.html#token=${TOKEN}`);
    await viewer.waitForState("connected");
    expect(viewer.page.url()).not.toContain(TOKEN);
  });
});

/** What a browser's "duplicate tab" does: another tab with the same session storage. */
async function duplicate(page: Page): Promise<Page> {
  const opened = page.context().waitForEvent("page");
  await page.evaluate(() => void window.open(location.href));
  const twin = await opened;
  await twin.locator('html[data-state="connected"]').waitFor({ state: "attached" });
  return twin;
}
