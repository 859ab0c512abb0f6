import { describe, expect, it } from "vitest";
import { fileName } from "../../functions/console/page/file-name.ts";
import { readSettings } from "../../functions/console/page/settings.ts";
import { whenIn } from "../../functions/console/page/when.ts";

const DEFAULT = { size: "fit", quality: "balanced", language: null };

describe("what a browser remembers", () => {
  it.each([
    ["nothing", null, DEFAULT],
    ["no JSON", "{", DEFAULT],
    ["another shape", "[1]", DEFAULT],
    ["null", "null", DEFAULT],
    ["values of another version", '{"size":"huge","quality":9,"language":5}', DEFAULT],
    [
      "what was chosen",
      '{"size":"resize","quality":"fast","language":"en"}',
      { size: "resize", quality: "fast", language: "en" },
    ],
  ])("is read from %s", (_what, stored, settings) => {
    expect(readSettings(stored)).toEqual(settings);
  });
});

describe("a picture's file name", () => {
  const at = new Date(2026, 10, 8, 3, 20, 11);

  it.each([
    ["web-1", "web-1"],
    ["", "console"],
    ["../a\\b:c\u202e", "__a_b_c_"],
  ])("is of %j made safe, and says when", (server, name) => {
    expect(fileName(server, at)).toBe(`${name} 2026-11-08 03.20.11.png`);
  });

  it("is not too long for a file system", () => {
    expect(Buffer.byteLength(fileName("😀".repeat(255), at))).toBeLessThan(255);
  });
});

describe("a time", () => {
  const when = whenIn("en", () => new Date("2026-11-28T23:00:00Z"), "UTC");

  it.each([
    ["2026-11-28T10:05:00Z", "10:05 AM"],
    ["2026-11-27T10:05:00Z", "Nov 27, 2026, 10:05 AM"],
    ["soon", "soon"],
  ])("%s is said as %s", (iso, said) => {
    expect(when(iso).replaceAll("\u202f", " ")).toBe(said);
  });
});
