/**
 * Builds what the Worker serves as static files, the console viewer and the API's reference, into .wrangler/assets.
 * Run by wrangler's [build] command before dev, deploy and the test harness: `node functions/build.ts`.
 */
import { resolve } from "node:path";
import { writeAssets } from "./assets.ts";
import { viewer } from "./console/build.ts";
import { reference } from "./docs/build.ts";

const outdir = resolve(import.meta.dirname, "../.wrangler/assets");
const files = await writeAssets(outdir, [await viewer(), await reference()]);
console.log(`${files.length} files in .wrangler/assets`);
