/** A guest's console log as virtlogd leaves it: the file that is written, and those that were put aside. */
import { symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readConsole } from "../../agent/drivers/libvirt/console-output.ts";
import { temporaryDir } from "./agent-support.ts";

function logs(...texts: string[]): string {
  const path = join(temporaryDir(), "console.log");
  for (const [i, text] of texts.entries()) writeFileSync(i === 0 ? path : `${path}.${i - 1}`, text);
  return path;
}
const read = async (path: string, most: number) => (await readConsole(path, most)).toString();

describe("readConsole", () => {
  it.each([
    [["abc"], 10, "abc"],
    [["abc"], 2, "bc"],
    [[""], 10, ""],
    [["ef", "cd", "ab"], 10, "abcdef"],
    [["ef", "cd", "ab"], 3, "def"],
    [["ef", "cd", "ab"], 2, "ef"],
  ])("of %j, at most %i bytes", async (texts, most, text) => {
    expect(await read(logs(...texts), most)).toBe(text);
  });

  it("has nothing to read where nothing was written, and follows no link", async () => {
    const path = join(temporaryDir(), "console.log");
    await expect(readConsole(path, 10)).rejects.toMatchObject({ code: "ConsoleNotAvailable" });
    symlinkSync("/etc/passwd", path);
    await expect(readConsole(path, 10)).rejects.toThrow("ELOOP");
  });
});
