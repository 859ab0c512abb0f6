/**
 * Takes the operator's own filters and weighers into the Worker: writes own.ts, which imports every `*.ts` of the
 * folders (`./…`) that wrangler.toml's SCHEDULER_AVAILABLE_FILTERS and SCHEDULER_AVAILABLE_WEIGHERS name.
 * Run by wrangler's [build] command before dev, deploy and the test harness: `node functions/scheduler/build.ts`.
 */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join, relative, resolve } from "node:path";

const OPTIONS = ["SCHEDULER_AVAILABLE_FILTERS", "SCHEDULER_AVAILABLE_WEIGHERS"] as const;
const ROOT = resolve(import.meta.dirname, "../..");
const OWN = join(import.meta.dirname, "own.ts");

const HEAD = `/**
 * The operator's own filters and weighers, by the folder that SCHEDULER_AVAILABLE_FILTERS or SCHEDULER_AVAILABLE_WEIGHERS
 * names. Written by build.ts, which wrangler runs: not by hand.
 */
`;

/** The text of own.ts for `folders` (as the options write them) below `root`; rejects when one cannot be read. */
export async function ownModule(root: string, folders: readonly string[]): Promise<string> {
  const imports: string[] = [];
  const rows: string[] = [];
  for (const folder of folders) {
    const names: string[] = [];
    for (const file of (await readdir(join(root, folder))).sort()) {
      if (!file.endsWith(".ts") || file.endsWith(".d.ts") || file.endsWith(".test.ts")) continue;
      const name = `module${imports.length}`;
      const path = relative(join(root, "functions/scheduler"), join(root, folder, file));
      imports.push(`import * as ${name} from ${JSON.stringify(path)};\n`);
      names.push(name);
    }
    rows.push(`  ${JSON.stringify(folder)}: [${names.join(", ")}],\n`);
  }
  const object = rows.length === 0 ? "{}" : `{\n${rows.join("")}}`;
  return `${HEAD}${imports.join("")}${imports.length > 0 ? "\n" : ""}export const OWN: Readonly<Record<string, readonly object[]>> = ${object};\n`;
}

/** The folders that a wrangler.toml names. */
async function foldersOf(path: string): Promise<string[]> {
  // wrangler takes a second to load, and most deployments have no folder.
  if (!/^\s*SCHEDULER_AVAILABLE_\w+\s*=.*\.\//m.test(await readFile(path, "utf8"))) return [];
  const { experimental_readRawConfig } = await import("wrangler");
  const { vars = {} } = experimental_readRawConfig({ config: path }).rawConfig;
  const entries = OPTIONS.flatMap((option) => String(vars[option] ?? "").split(/[\s,]+/));
  return [...new Set(entries.filter((entry) => entry.startsWith("./")))];
}

if (import.meta.main) {
  const folders = await foldersOf(resolve(process.argv[2] ?? join(ROOT, "wrangler.toml")));
  const text = await ownModule(ROOT, folders);
  // Written only when it is other: wrangler watches it.
  if (text !== (await readFile(OWN, "utf8"))) await writeFile(OWN, text);
  console.log(`scheduler: ${folders.length === 0 ? "no folders of your own" : `yours are in ${folders.join(", ")}`}`);
}
