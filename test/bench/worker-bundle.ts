/** The Worker as `wrangler deploy` would upload it. */
import { execFile } from "node:child_process";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { ROOT } from "../../agent/up/edge.ts";

/** The entry that counts what the Worker does, in the place of its own. */
export const COUNTED = join(ROOT, "test/workerd/counted-worker.ts");

/** As well, the entry with a scheduler that can be filled at once. */
export const FLEET = join(ROOT, "test/workerd/fleet-worker.ts");

/** Builds into `outdir`, from another entry if one is given. */
export async function bundleWorker(outdir: string, entry?: string): Promise<void> {
  const wrangler = join(ROOT, "node_modules/wrangler/bin/wrangler.js");
  // wrangler's own [build] command is plain `node`: it must be this one, not an older one of the system.
  const path = `${join(ROOT, "node_modules/.bin")}${delimiter}${process.env.PATH ?? ""}`;
  await promisify(execFile)(
    process.execPath,
    [wrangler, "deploy", ...(entry ? [entry] : []), "--dry-run", "--outdir", outdir],
    {
      cwd: ROOT,
      env: { ...process.env, PATH: path, WRANGLER_SEND_METRICS: "false", CI: "true" },
    },
  );
}
