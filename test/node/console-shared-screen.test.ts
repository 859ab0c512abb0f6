import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { PageText } from "../../agent/console/page-text.ts";
import { CONTROL_KEPT_MS, SharedScreen } from "../../agent/console/shared-screen.ts";
import type { Order } from "../../agent/console/sharing.ts";
import type { ToPage } from "../../functions/protocol/console-presence.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A page that reads all it is told. */
function page(onOrder: (order: Order) => void = () => undefined) {
  const told: ToPage[] = [];
  const text = new PageText(onOrder, () => Date.now());
  text.open((what, done) => {
    told.push(JSON.parse(what));
    done();
  });
  return { text, told };
}

function sit(screen: SharedScreen, session: string, leg = 0) {
  const { text, told } = page((order) => screen.order(session, order));
  const onSilenced = vi.fn();
  const who = { session, label: session, owner: false, input: true };
  screen.join({ who, leg, page: text, onSilenced }, "one");
  return { text, told, onSilenced };
}
const say = (text: PageText, what: object) => text.hear(Buffer.from(JSON.stringify(what)));

it("control is kept for who lost the connection, and then it is not", () => {
  const onEmpty = vi.fn();
  const screen = new SharedScreen(onEmpty);
  sit(screen, "ann");
  const bob = sit(screen, "bob");
  screen.leave("ann", 0, { comesBack: true });
  vi.advanceTimersByTime(CONTROL_KEPT_MS - 1);
  expect(screen.types("bob")).toBe(false);
  sit(screen, "ann", 1);
  vi.advanceTimersByTime(CONTROL_KEPT_MS);
  expect([screen.types("ann"), screen.types("bob")]).toEqual([true, false]);
  screen.leave("ann", 1, { comesBack: true });
  vi.advanceTimersByTime(CONTROL_KEPT_MS);
  expect(screen.types("bob")).toBe(true);
  expect(bob.told.at(-1)).toMatchObject({ control: 2, people: [{ id: 2 }] });
  screen.leave("bob", 0, { comesBack: true });
  expect(onEmpty).not.toHaveBeenCalled();
  vi.advanceTimersByTime(CONTROL_KEPT_MS);
  expect(onEmpty).toHaveBeenCalledOnce();
});

it("the end of an older leg is not that of its session", () => {
  const screen = new SharedScreen(() => undefined);
  const first = sit(screen, "ann");
  sit(screen, "ann", 1);
  screen.leave("ann", 0, { comesBack: false });
  expect(screen.types("ann")).toBe(true);
  expect(first.onSilenced).not.toHaveBeenCalled();
});

it("who loses control is told so once", () => {
  const screen = new SharedScreen(() => undefined);
  const [ann, bob] = [sit(screen, "ann"), sit(screen, "bob")];
  say(ann.text, { t: "give", to: 2 });
  screen.share("private");
  expect(ann.onSilenced).toHaveBeenCalledOnce();
  expect(bob.onSilenced).not.toHaveBeenCalled();
});

it("asking again at once is not heard, and later it is", () => {
  const screen = new SharedScreen(() => undefined);
  const [ann, bob] = [sit(screen, "ann"), sit(screen, "bob")];
  const asked = () => ann.told.filter(({ t }) => t === "asked").length;
  for (let at = 0; at < 100; at++) say(bob.text, { t: "ask" });
  expect(asked()).toBe(1);
  vi.advanceTimersByTime(1000);
  say(bob.text, { t: "ask" });
  expect(asked()).toBe(2);
});

it("a page that does not read gets the newest of each kind when it does", () => {
  const text = new PageText(() => undefined);
  const told: ToPage[] = [];
  let done = () => {};
  const people = (control: number): ToPage => ({ t: "people", you: 1, sharing: "one", control, people: [] });
  text.tell(people(0));
  text.tell(people(1));
  text.open((what, left) => {
    told.push(JSON.parse(what));
    done = left;
  });
  for (let at = 2; at < 100; at++) {
    text.tell(people(at));
    text.tell({ t: "asked", by: at % 2 });
    say(text, { t: "ping", at });
  }
  expect(told).toEqual([people(1)]);
  for (let at = 0; at < 10; at++) done();
  expect(told.slice(1)).toEqual([people(99), { t: "asked", by: 0 }, { t: "pong", at: 99 }, { t: "asked", by: 1 }]);
});
