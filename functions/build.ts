/**
 * Builds what the Worker serves as static files, the console viewer and the API's reference, into .wrangler/assets.
 * Run by wrangler's [build] command before dev, deploy and the test harness: `node functions/build.ts`. What nobody
 * touched since the last build is not built again: each of a test's edges would wait for it.
 */
import { readdir, stat, utimes } from "node:fs/promises";
import { join, resolve } from "node:path";

const outdir = resolve(import.meta.dirname, "../.wrangler/assets");
/** Written by every build; its time says when that began. */
const stamp = join(outdir, "_headers");

const began = new Date();
if ((await newest()) < (await timeOf(stamp))) console.log(".wrangler/assets is up to date");
else {
  // Imported only here: they are all of the API, and a bundler.
  const [{ writeAssets }, { viewer }, { reference }] = await Promise.all([
    import("./assets.ts"),
    import("./console/build.ts"),
    import("./docs/build.ts"),
  ]);
  const files = await writeAssets(outdir, [await viewer(), await reference()]);
  await utimes(stamp, began, began);
  console.log(`${files.length} files in .wrangler/assets`);
}

/** When a source, or a folder of them, or the packages' versions changed last; ms since the epoch. */
async function newest(): Promise<number> {
  const entries = await readdir(import.meta.dirname, { recursive: true });
  const sources = ["", ...entries].map((name) => join(import.meta.dirname, name));
  const lock = resolve(import.meta.dirname, "../package-lock.json");
  return Math.max(...(await Promise.all([...sources, lock].map(timeOf))));
}

/** ms since the epoch; 0 for what is not there. */
async function timeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );
}
