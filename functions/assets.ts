/** Files that the build makes and the Worker serves as they are. */
import { createHash } from "node:crypto";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

/** `files`: contents by path. `pages`: the policy of each page among them (CSP 3). */
export type Assets = { files: Map<string, string>; pages: Record<string, readonly string[]> };

/** Hex digits of a file's SHA-256 in its name. */
const HASH_DIGITS = 12;

/** A path that changes with the content: it may be kept for ever. */
export function hashedPath(name: string, extension: string, content: string): string {
  return `assets/${name}-${createHash("sha256").update(content).digest("hex").slice(0, HASH_DIGITS)}.${extension}`;
}

/** The page with the two paths in it, and nothing else that a template leaves open. */
export function fillPage(template: string, paths: { script: string; style: string }): string {
  const page = template.replace("{{script}}", `/${paths.script}`).replace("{{style}}", `/${paths.style}`);
  if (page.includes("{{")) throw new Error("a page has a placeholder that the build does not fill");
  return page;
}

/** Writes all into `outdir`, removes what an earlier build left, and answers with the files' paths, sorted. */
export async function writeAssets(outdir: string, parts: readonly Assets[]): Promise<string[]> {
  const files = new Map(parts.flatMap((part) => [...part.files]));
  files.set("_headers", headers(Object.assign({}, ...parts.map(({ pages }) => pages))));
  // Assets before pages, leftovers last: a page that is served meanwhile finds what it names.
  for (const [path, content] of files) {
    await mkdir(dirname(join(outdir, path)), { recursive: true });
    await writeFile(join(outdir, path), content);
  }
  for (const name of await readdir(join(outdir, "assets"))) {
    if (!files.has(`assets/${name}`)) await rm(join(outdir, "assets", name));
  }
  return [...files.keys()].sort();
}

/** Cloudflare's _headers: rules that match the same path and name the same header are joined, so none overlap. */
function headers(policies: Assets["pages"]): string {
  const everywhere = ["/*", "  X-Content-Type-Options: nosniff", "  Referrer-Policy: no-referrer"];
  const pages = Object.entries(policies).flatMap(([path, policy]) => [
    `/${path}`,
    "  Cache-Control: no-cache",
    `  Content-Security-Policy: ${policy.join("; ")}`,
  ]);
  const assets = ["/assets/*", "  Cache-Control: public, max-age=31536000, immutable"];
  return `${[...everywhere, ...pages, ...assets].join("\n")}\n`;
}
