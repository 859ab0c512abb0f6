import { fileURLToPath } from "node:url";
import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { configDefaults, defineConfig } from "vitest/config";
import { TEST_SECRETS } from "./secrets.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Processes that start a runtime each: two at a time is what two cores carry. */
const heavy = { testTimeout: 60_000, hookTimeout: 120_000 };

/** How far test/workerd/upgrade-fuzz.test.ts goes. */
const fuzz = Object.fromEntries(Object.entries(process.env).filter(([name]) => name.startsWith("UPGRADE_FUZZ_")));

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
            miniflare: { bindings: { ...TEST_SECRETS, ...fuzz } },
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
