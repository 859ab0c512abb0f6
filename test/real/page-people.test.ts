/** Several people on one screen: who is here, who types, and how control goes from one to the other. */
import { describe, expect, it } from "vitest";
import type { ToPage } from "../../functions/protocol/console-presence.ts";
import { person } from "../page-edge.ts";
import { noChromium, stage } from "./page-stage.ts";
import type { Viewer } from "./viewer.ts";

const SOON = { timeout: 10_000 };
type People = Extract<ToPage, { t: "people" }>;

const [ADA, GRACE, LINUS] = [1, 2, 3];
const everybody = [
  person(ADA, "Ada", { owner: true }),
  person(GRACE, "Grace"),
  person(LINUS, "Linus", { input: false }),
];

/** One at a time types, as `you` sees it. */
function shared(you: number, control: number | null, more: Partial<People> = {}): People {
  return { t: "people", you, sharing: "one", control, people: everybody, ...more };
}

describe.skipIf(noChromium)("people on one screen", () => {
  const here = stage();

  async function openAs(people: People): Promise<Viewer> {
    here.edge.people = people;
    const viewer = await here.open();
    await viewer.page.locator("#people").click();
    return viewer;
  }
  const rows = async ({ page }: Viewer) =>
    (await page.locator("#people-list li").allInnerTexts()).map((row) => row.split(/\n+/).join(" | "));
  const focused = ({ page }: Viewer) => page.evaluate(() => document.activeElement?.textContent?.trim() ?? "");

  it("lists who is here, and tells who comes, goes and gets control", async () => {
    const viewer = await openAs(shared(ADA, ADA));
    const { page } = viewer;
    expect(await rows(viewer)).toEqual(["Ada | you · owner | in control", "Grace | Give", "Linus | watches"]);
    expect(await page.locator("#people").getAttribute("aria-label")).toBe("3 people are here");
    const notice = page.locator("#notice");
    here.edge.tell(shared(ADA, ADA, { people: everybody.slice(0, 2) }));
    await expect.poll(() => notice.textContent(), SOON).toBe("Linus has left.");
    here.edge.tell(shared(ADA, ADA));
    await expect.poll(() => notice.textContent(), SOON).toBe("Linus is here now.");
    here.edge.tell(shared(ADA, GRACE));
    await expect.poll(() => notice.textContent(), SOON).toBe("Grace is in control.");
    expect(await rows(viewer)).toEqual(["Ada | you · owner", "Grace | in control", "Linus | watches"]);
  });

  it("gives, takes and releases control, and keeps the keyboard's place in the panel", async () => {
    const viewer = await openAs(shared(ADA, ADA));
    const { page } = viewer;
    const { edge } = here;
    await page.getByRole("button", { name: "Give control to Grace" }).press("Enter");
    await expect.poll(() => edge.said, SOON).toEqual([{ t: "give", to: GRACE }]);
    edge.tell(shared(ADA, GRACE));
    await expect.poll(() => focused(viewer), SOON).toBe("Take control");
    await page.keyboard.press("Enter");
    await expect.poll(() => edge.said.at(-1), SOON).toEqual({ t: "take" });
    edge.tell(shared(ADA, ADA));
    await expect.poll(() => focused(viewer), SOON).toBe("Give");
    await page.getByRole("button", { name: "Release control" }).press("Enter");
    await expect.poll(() => edge.said.at(-1), SOON).toEqual({ t: "drop" });
    // Somebody who comes takes no focus away.
    edge.tell(shared(ADA, null, { people: [...everybody, person(4, "Ken")] }));
    await expect.poll(() => page.locator("#notice").textContent(), SOON).toBe("Nobody is in control.");
    expect(await page.evaluate(() => document.activeElement !== document.body)).toBe(true);
  });

  it("asks for control, and types nothing until it has it", async () => {
    const viewer = await openAs(shared(GRACE, ADA));
    const { page } = viewer;
    const { edge } = here;
    expect(await page.locator("#view-only").isVisible()).toBe(true);
    expect(await page.locator("#keys").isVisible()).toBe(false);
    await page.getByRole("button", { name: "Ask for control" }).click();
    await expect.poll(() => edge.said, SOON).toEqual([{ t: "ask" }]);
    await viewer.press("x");
    edge.tell(shared(GRACE, GRACE));
    await page.getByText("You are in control.").waitFor();
    expect(await page.locator("#view-only").isVisible()).toBe(false);
    await viewer.press("y");
    await expect.poll(() => edge.typed.map(({ keysym }) => String.fromCodePoint(keysym)).join(""), SOON).toBe("yy");
  });

  it("shows an ask to who can give, and gives", async () => {
    const viewer = await openAs(shared(ADA, ADA));
    const { page } = viewer;
    const { edge } = here;
    edge.tell({ t: "asked", by: GRACE });
    const asked = page.getByRole("alert").filter({ hasText: "Grace asks for control" });
    await asked.waitFor();
    expect((await rows(viewer))[1]).toBe("Grace | asks for control | Give");
    await asked.getByRole("button", { name: "Not now" }).click();
    await asked.waitFor({ state: "hidden" });
    expect(edge.said).toEqual([]);
    edge.tell({ t: "asked", by: GRACE });
    await asked.getByRole("button", { name: "Give" }).click();
    await expect.poll(() => edge.said, SOON).toEqual([{ t: "give", to: GRACE }]);
    await asked.waitFor({ state: "hidden" });
    expect(await page.evaluate(() => document.activeElement?.tagName)).toBe("CANVAS");
  });

  it("forgets an ask of somebody who has left", async () => {
    const viewer = await openAs(shared(ADA, ADA));
    here.edge.tell({ t: "asked", by: GRACE });
    await viewer.page.locator("#asked").waitFor();
    here.edge.tell(shared(ADA, ADA, { people: everybody.filter(({ id }) => id !== GRACE) }));
    await viewer.page.locator("#asked").waitFor({ state: "hidden" });
  });

  it("says that control is kept for somebody who has lost the connection", async () => {
    const viewer = await openAs(shared(GRACE, ADA));
    const { page } = viewer;
    const kept = "Ada has lost the connection. Control is kept for a moment.";
    here.edge.tell(shared(GRACE, ADA, { people: everybody.slice(1) }));
    await expect.poll(() => page.locator("#people-away").textContent(), SOON).toBe(kept);
    expect(await page.locator("#notice").textContent()).toBe(kept);
    expect(await page.locator("#view-only").isVisible()).toBe(true);
    here.edge.tell(shared(GRACE, GRACE, { people: everybody.slice(1) }));
    await page.locator("#people-away").waitFor({ state: "hidden" });
    expect(await page.locator("#view-only").isVisible()).toBe(false);
  });

  it("leaves a private screen to who has control", async () => {
    const viewer = await openAs(shared(GRACE, null, { sharing: "private" }));
    expect(await viewer.page.locator("#people-sharing").textContent()).toBe("Nobody else can come in.");
    expect(await viewer.page.locator("#view-only").isVisible()).toBe(true);
    await viewer.page.getByRole("button", { name: "Take control" }).click();
    await expect.poll(() => here.edge.said, SOON).toEqual([{ t: "take" }]);
  });

  it("is as it was for who is not in control, while the screen comes back", async () => {
    const { edge } = here;
    const viewer = await openAs(shared(GRACE, ADA));
    const { page } = viewer;
    edge.refuse("host_offline");
    edge.cut();
    await viewer.waitForState("resuming");
    expect(await page.locator("#view-only").isVisible()).toBe(true);
    expect(await page.locator("#people-panel").isVisible()).toBe(false);
    edge.allow();
    await viewer.waitForState("connected");
    await page.locator("#people").click();
    expect(await page.locator("#people-panel").isVisible()).toBe(true);
  });

  it("only shows the screen to who may only watch", async () => {
    const { edge } = here;
    edge.rights = { input: false, clipboard: false, power: false };
    const viewer = await openAs(shared(LINUS, GRACE));
    const { page } = viewer;
    expect(await page.locator("#people-panel button:visible").count()).toBe(0);
    for (const id of ["keys", "clipboard", "power"]) expect(await page.locator(`#${id}`).isVisible()).toBe(false);
  });
});
