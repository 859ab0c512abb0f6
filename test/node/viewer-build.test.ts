import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeAssets } from "../../functions/assets.ts";
import { viewer } from "../../functions/console/build.ts";

const PAGES = ["vnc.html", "vnc_auto.html", "vnc_lite.html"];

describe("the viewer's build", () => {
  let dir: string;
  let files: string[];
  const read = (path: string) => readFile(join(dir, path), "utf8");

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "viewer-build-"));
    files = await writeAssets(dir, [await viewer()]);
  });
  afterAll(() => rm(dir, { recursive: true }));

  it("makes the three pages, one script, one style sheet and the headers", () => {
    const kinds = files.map((path) => path.replace(/-[0-9a-f]{12}(?=\.)/, "-<hash>")).sort();
    expect(kinds).toEqual(["_headers", "assets/viewer-<hash>.css", "assets/viewer-<hash>.js", ...PAGES]);
  });

  it("makes the same page under each name, with what clients look for in it", async () => {
    const [first = "", ...others] = await Promise.all(PAGES.map(read));
    for (const other of others) expect(other).toBe(first);
    for (const text of ["<html", "</html>", "<script", "noVNC"]) expect(first).toContain(text);
  });

  it("names the built files in the page, and only those", async () => {
    const page = await read("vnc.html");
    const named = [...page.matchAll(/(?:src|href)="\/([^"]+)"/g)].map(([, path]) => path);
    expect(named.sort()).toEqual(files.filter((path) => path.startsWith("assets/")));
  });

  it("has nothing inline, which the policy would block", async () => {
    const page = await read("vnc.html");
    expect(page).not.toMatch(/<script(?![^>]*\ssrc=)/);
    expect(page).not.toMatch(/<style/);
    expect(page).not.toMatch(/\s(?:style|on[a-z]+)=/);
    expect(page).not.toContain("{{");
  });

  it("loads from its own origin only, and may be framed by a dashboard", async () => {
    const headers = await read("_headers");
    expect(headers).toContain("default-src 'none'");
    expect(headers).not.toMatch(/unsafe-|frame-ancestors|X-Frame-Options/i);
    expect(headers).toContain("/assets/*\n  Cache-Control: public, max-age=31536000, immutable");
    for (const page of PAGES) expect(headers).toContain(`/${page}\n  Cache-Control: no-cache`);
  });

  it("says where noVNC's source is, as its licence asks", async () => {
    const script = files.find((path) => path.endsWith(".js")) ?? "";
    expect((await read(script)).slice(0, 200)).toContain("https://github.com/novnc/noVNC");
  });

  it("makes the same bytes again, and removes what an older build left", async () => {
    const before = await Promise.all(files.map(read));
    await writeFile(join(dir, "assets/viewer-000000000000.js"), "old");
    expect(await writeAssets(dir, [await viewer()])).toEqual(files);
    expect(await Promise.all(files.map(read))).toEqual(before);
    await expect(read("assets/viewer-000000000000.js")).rejects.toThrow("ENOENT");
  });
});
