/** Builds the console viewer: one page under three names, its script and its style. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "esbuild";
import { type Assets, fillPage, hashedPath } from "../assets.ts";

/** The names that links in the wild use; all are the same page. */
const PAGES = ["vnc_auto.html", "vnc_lite.html", "vnc.html"];
const SOURCE = join(import.meta.dirname, "page");

/**
 * No inline script or style, and no other origin. `img-src`: noVNC paints JPEG rectangles and cursors from data: and
 * blob: URLs. `connect-src 'self'` covers ws: and wss: on the page's own host (CSP 3 §6.7.2.8). There is no
 * frame-ancestors because Horizon shows the page in an iframe on another origin.
 */
const CSP = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data: blob:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
];

/** MPL-2.0 §3.2: who gets the bundle must learn where the source is. */
const NOTICE =
  "/*! noVNC (MPL-2.0): https://github.com/novnc/noVNC - pako (MIT AND Zlib): https://github.com/nodeca/pako */";

export async function viewer(): Promise<Assets> {
  const [script, style, template] = await Promise.all([
    bundle("viewer.ts", { js: NOTICE }),
    bundle("style.css", {}),
    readFile(join(SOURCE, "page.html"), "utf8"),
  ]);
  const paths = { script: hashedPath("viewer", "js", script), style: hashedPath("viewer", "css", style) };
  const page = fillPage(template, paths);
  const files = new Map([[paths.script, script], [paths.style, style], ...PAGES.map((name) => [name, page] as const)]);
  return { files, pages: Object.fromEntries(PAGES.map((name) => [name, CSP])) };
}

async function bundle(entry: string, banner: Record<string, string>): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [entry],
    absWorkingDir: SOURCE,
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    // noVNC awaits at its top level, and page and noVNC need browsers of 2022 or later anyway (:has, dvh, WebCodecs).
    target: ["es2022", "chrome108", "firefox121", "safari15.4"],
    banner,
    legalComments: "none",
    logLevel: "warning",
  });
  const [output] = outputFiles;
  if (output === undefined) throw new Error(`esbuild made nothing of ${entry}`);
  return output.text;
}
