import { fileURLToPath } from "node:url";
import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { configDefaults, defineConfig } from "vitest/config";
import { TEST_SECRETS } from "./secrets.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Processes that start a runtime each: two at a time is what two cores carry. */
const heavy = { testTimeout: 60_000, hookTimeout: 120_000 };

export default defineConfig({
  test: {
    maxWorkers: 2,
    silent: "passed-only",
    projects: [
      {
        root,
        plugins: [
          cloudflareTest({
            wrangler: { configPath: "./wrangler.toml" },
            miniflare: { bindings: TEST_SECRETS },
          }),
        ],
        test: { name: "workerd", include: ["test/workerd/**/*.test.ts"] },
      },
      { root, test: { name: "node", include: ["test/node/**/*.test.ts"], ...heavy } },
      { root, test: { name: "crash", include: ["test/crash/**/*.test.ts"], fileParallelism: false, ...heavy } },
      { root, test: { name: "real", include: ["test/real/**/*.test.ts"], fileParallelism: false, ...heavy } },
    ],
    exclude: configDefaults.exclude,
  },
});
