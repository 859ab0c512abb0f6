/**
 * Builds the console viewer into .wrangler/assets, which the Worker serves as static files.
 * Run by wrangler's [build] command before dev, deploy and the test harness: `node functions/console/build.ts`.
 */
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { build } from "esbuild";

/** The names that links in the wild use; all are the same page. */
const PAGES = ["vnc_auto.html", "vnc_lite.html", "vnc.html"];
const ROOT = resolve(import.meta.dirname, "../..");
const SOURCE = join(import.meta.dirname, "page");
/** Hex digits of a file's SHA-256 in its name. */
const HASH_DIGITS = 12;

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
].join("; ");

/** MPL-2.0 §3.2: who gets the bundle must learn where the source is. */
const NOTICE =
  "/*! noVNC (MPL-2.0): https://github.com/novnc/noVNC - pako (MIT AND Zlib): https://github.com/nodeca/pako */";

/** Writes the viewer into `outdir`, removes what an earlier build left, and answers with the files' paths, sorted. */
export async function buildViewer(outdir: string): Promise<string[]> {
  const [script, style, template] = await Promise.all([
    bundle("viewer.ts", { js: NOTICE }),
    bundle("style.css", {}),
    readFile(join(SOURCE, "page.html"), "utf8"),
  ]);
  const assets = new Map([
    [`assets/viewer-${hash(script)}.js`, script],
    [`assets/viewer-${hash(style)}.css`, style],
  ]);
  const [scriptPath, stylePath] = [...assets.keys()].map((path) => `/${path}`);
  const page = template.replace("{{script}}", `${scriptPath}`).replace("{{style}}", `${stylePath}`);
  if (page.includes("{{")) throw new Error("page.html has a placeholder that build.ts does not fill");

  const files = new Map([...assets, ...PAGES.map((name) => [name, page] as const), ["_headers", headers()] as const]);
  await mkdir(join(outdir, "assets"), { recursive: true });
  // Assets before pages, leftovers last: a page that is served meanwhile finds what it names.
  for (const [path, content] of files) await writeFile(join(outdir, path), content);
  for (const name of await readdir(join(outdir, "assets"))) {
    if (!files.has(`assets/${name}`)) await rm(join(outdir, "assets", name));
  }
  return [...files.keys()].sort();
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

function hash(content: string): string {
  return createHash("sha256").update(content).digest("hex").slice(0, HASH_DIGITS);
}

/** Cloudflare's _headers: rules that match the same path and name the same header are joined, so none overlap. */
function headers(): string {
  const everywhere = ["/*", "  X-Content-Type-Options: nosniff", "  Referrer-Policy: no-referrer"];
  const pages = PAGES.flatMap((name) => [`/${name}`, "  Cache-Control: no-cache", `  Content-Security-Policy: ${CSP}`]);
  const assets = ["/assets/*", "  Cache-Control: public, max-age=31536000, immutable"];
  return `${[...everywhere, ...pages, ...assets].join("\n")}\n`;
}

if (import.meta.main) {
  const files = await buildViewer(join(ROOT, ".wrangler/assets"));
  console.log(`console viewer: ${files.length} files in .wrangler/assets`);
}
