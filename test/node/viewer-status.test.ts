import { describe, expect, it } from "vitest";
import { keysymOf, strokesBetween } from "../../functions/console/page/keystrokes.ts";
import { endingOf, headingOf, noLink, refused } from "../../functions/console/page/status.ts";
import { CONSOLE_CLOSE, CONSOLE_REASON } from "../../functions/protocol/console.ts";

const close = { code: 1005, reason: "", opened: true, bytes: true };

describe("the reason for an ended console", () => {
  it.each(Object.entries(CONSOLE_CLOSE))("is the protocol's own text for %s", (_name, code) => {
    expect(endingOf({ ...close, code })).toEqual({ reason: CONSOLE_REASON[code], retry: true });
  });

  it("is what the closing side wrote, when it wrote something", () => {
    expect(endingOf({ ...close, code: 4410, reason: "Moved to another host." }).reason).toBe("Moved to another host.");
  });

  it("is an invalid link when nothing but an empty close frame came", () => {
    const ending = endingOf({ ...close, bytes: false });
    expect(ending.reason).toMatch(/^This link is not valid any more/);
    expect(ending.retry).toBe(false);
  });

  it("is a plain end after the screen was there, and offers to go on", () => {
    expect(endingOf(close)).toEqual({ reason: "The console was closed.", retry: true });
  });

  it("tells a lost connection from one that never was", () => {
    expect(endingOf({ ...close, code: 1006 }).reason).toBe("The connection was lost.");
    expect(endingOf({ ...close, code: 1006, opened: false }).reason).toMatch(/could not be opened/);
  });

  it("names a code that it does not know", () => {
    expect(endingOf({ ...close, code: 4999 }).reason).toContain("4999");
  });

  it("quotes the VNC server when it refuses", () => {
    expect(refused("Too many viewers").reason).toBe("The screen refused the connection: Too many viewers");
    expect(refused(undefined).reason).toBe("The screen refused the connection.");
  });
});

it("explains a reload differently from an address that never had a token", () => {
  expect(noLink(false)).toMatchObject({ state: "no-link", example: true });
  expect(headingOf(noLink(true))).toBe("Please open the link again");
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
