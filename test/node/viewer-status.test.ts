import { describe, expect, it } from "vitest";
import { keysymOf, strokesBetween, strokesOf } from "../../functions/console/page/keystrokes.ts";
import { LANGUAGES, pickLanguage } from "../../functions/console/page/language.ts";
import { cardOf } from "../../functions/console/page/status.ts";
import { actionFor, type Refusal, stepAfter, type Trouble } from "../../functions/console/page/trouble.ts";
import { en } from "../../functions/console/page/words-en.ts";
import { CONSOLE_CLOSE } from "../../functions/protocol/console.ts";
import { WHY, type Why } from "../../functions/protocol/console-session.ts";

const closed = (code: number, reason = ""): Trouble => ({ kind: "closed", code, reason });
const refusal = (why: Why, more: Partial<Refusal> = {}): Trouble => ({
  kind: "refused",
  refusal: { code: 403, why, message: "as the edge says", since: null, ask: null, power: false, ...more },
});
const ended = (trouble: Trouble, words = en) => cardOf({ state: "ended", began: true, trouble }, words);

describe.each(Object.entries(LANGUAGES))("the card in %s", (_language, words) => {
  it.each(Object.entries(CONSOLE_CLOSE))("has words of its own for the end %s", (_name, code) => {
    const { heading, reason } = ended(closed(code, "what was sent"), words);
    expect(heading).not.toBe("");
    expect(reason).not.toBe("");
    expect(reason).not.toContain("what was sent");
  });

  it.each(WHY)("says why there is no screen, and what to do: %s", (why) => {
    const told = ended(refusal(why, { since: "2026-11-27T10:00:00Z", ask: "ada" }), words);
    expect(told.reason).not.toBe("");
    expect(told.reason).not.toBe("as the edge says");
    expect(`${told.reason}${told.next}`).not.toContain("undefined");
  });
});

describe("what to do about it", () => {
  it("names who can give a new link", () => {
    expect(ended(refusal("expired", { ask: "ada" })).next).toBe("Ask ada for a new link.");
    expect(ended(refusal("used_up")).next).toBe("Ask for a new link.");
  });

  it("offers to start a server only to those who may", () => {
    expect(ended(refusal("server_stopped", { power: true }))).toMatchObject({
      heading: "The server is off",
      action: "start",
    });
    expect(ended(refusal("server_stopped")).action).toBe("again");
  });

  it("brings a console back that another window has", () => {
    expect(ended(closed(CONSOLE_CLOSE.MOVED)).action).toBe("bring");
  });

  it("offers no try where none can help", () => {
    expect(actionFor(refusal("revoked"))).toBeNull();
    expect(actionFor(closed(CONSOLE_CLOSE.STOLEN))).toBeNull();
  });

  it("quotes the VNC server when it refuses", () => {
    const declined = (detail: string) => ended({ kind: "fault", fault: "declined", detail }).reason;
    expect(declined("Too many viewers")).toBe("The screen refused the connection: Too many viewers");
    expect(declined("")).toBe("The screen refused the connection.");
  });

  it("says what the closing side wrote when the code is not known, and else names the code", () => {
    expect(ended(closed(4999, "Moved to another host.")).reason).toBe("Moved to another host.");
    expect(ended(closed(4999)).reason).toContain("4999");
    expect(ended(closed(1006)).reason).toBe("The connection was lost.");
  });

  it("explains a reload differently from an address that never had a token", () => {
    expect(cardOf({ state: "no-link", reopened: true }, en).heading).toBe("Please open the link again");
    expect(cardOf({ state: "no-link", reopened: false }, en).heading).toBe("A console link is needed");
  });
});

describe("coming back", () => {
  it.each([1000, 1001, 1005, 1006, 1011, 1012, 4503, 4504, 4501, 4408, 4410, 4404])("is tried after %i", (code) => {
    expect(stepAfter(closed(code))).toBe("resume");
  });

  it.each([
    CONSOLE_CLOSE.REVOKED,
    CONSOLE_CLOSE.KILLED,
    CONSOLE_CLOSE.EXPIRED,
    CONSOLE_CLOSE.LOCKED_OUT,
    CONSOLE_CLOSE.LOCKED,
    CONSOLE_CLOSE.MOVED,
    CONSOLE_CLOSE.STOLEN,
  ])("is not after %i", (code) => {
    expect(stepAfter(closed(code))).toBe("stop");
  });

  it("waits for what passes, asks for a PIN, and gives up on what stays", () => {
    expect(stepAfter(refusal("host_offline"))).toBe("resume");
    expect(stepAfter(refusal("server_stopped"))).toBe("watch");
    expect(stepAfter(refusal("pin_wrong"))).toBe("pin");
    expect(stepAfter(refusal("used_up"))).toBe("stop");
    expect(stepAfter({ kind: "unreachable" })).toBe("resume");
  });
});

it.each([
  [null, ["de-DE", "zh-TW", "en"], "zh-Hans"],
  [null, ["fr"], "en"],
  ["en", ["zh-CN"], "en"],
  ["xx", ["en-GB", "zh"], "en"],
])("picks a language for %s and %j", (chosen, preferred, language) => {
  expect(pickLanguage(chosen, preferred)).toBe(language);
});

describe("typing a text", () => {
  it("names what a US keyboard cannot type, each once", () => {
    const { strokes, untypable } = strokesOf("aé€é\r\nB");
    expect(strokes.map(({ code, shift }) => [code, shift])).toEqual([
      ["KeyA", false],
      ["Enter", false],
      ["KeyB", true],
    ]);
    expect(untypable).toEqual(["é", "€"]);
  });
});

describe("typing on a phone", () => {
  it.each([
    ["a letter", "__", "__a", 0, "a"],
    ["Backspace", "__", "_", 1, ""],
    ["a corrected word", "__teh", "__the ", 2, "he "],
    ["nothing", "__", "__", 0, ""],
    ["a character outside the BMP", "__", "__😀", 0, "😀"],
  ])("turns %s into strokes", (_what, before, after, erase, text) => {
    expect(strokesBetween(before, after)).toEqual({ erase, text });
  });

  it("names keys as X11 does", () => {
    expect(["a", "é", "\n", "€"].map(keysymOf)).toEqual([0x61, 0xe9, 0xff0d, 0x010020ac]);
  });
});
