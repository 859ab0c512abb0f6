/**
 * The edge with as few hops as there can be: one workerd that runs the Worker as it is deployed, and a socket that
 * leads straight into it. `wrangler dev` and the test harness put a second workerd (their ProxyWorker) and Miniflare's
 * entry and assets Workers before it, which production does not have.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from "miniflare";
import { unstable_getMiniflareWorkerOptions, unstable_readConfig } from "wrangler";
import { TEST_SECRETS } from "../secrets.ts";
import { childOptions, serveParent } from "./child.ts";
import { tree } from "./processes.ts";

export type BenchEdgeOptions = { bundleDir: string; configPath: string; vars: Record<string, string> };
export type BenchEdgeReady = { url: string; workerd: number[] };

/** No bench may meet a limit that is there against guessing. */
const NO_LIMIT = 1_000_000_000;

const { bundleDir, configPath, vars } = childOptions<BenchEdgeOptions>();
const config = unstable_readConfig({ config: configPath });
for (const limit of config.ratelimits) limit.simple.limit = NO_LIMIT;
const { workerOptions } = unstable_getMiniflareWorkerOptions(config);
const scripts = readdirSync(bundleDir).filter((name) => name.endsWith(".js"));
const miniflare = new Miniflare(
  convertV4MiniflareOptions({
    host: "127.0.0.1",
    port: 0,
    log: new Log(LogLevel.NONE),
    handleStructuredLogs: () => undefined,
    cf: false,
    workers: [
      {
        ...workerOptions,
        name: config.name ?? "edgenova",
        modules: scripts.map((name) => ({
          type: "ESModule" as const,
          path: join(bundleDir, name),
          contents: readFileSync(join(bundleDir, name), "utf8"),
        })),
        modulesRoot: bundleDir,
        bindings: { ...Object(workerOptions.bindings), ...TEST_SECRETS, ...vars },
        unsafeDirectSockets: [{ host: "127.0.0.1", port: 0 }],
      },
    ],
  }),
);
await miniflare.ready;
const url = (await miniflare.unsafeGetDirectURL()).href.replace(/\/$/, "");
const ready: BenchEdgeReady = { url, workerd: tree(process.pid).filter((pid) => pid !== process.pid) };
serveParent(ready, { stop: () => miniflare.dispose() });
