/** What a test of real programs needs on the machine. */
import { existsSync } from "node:fs";

/**
 * True when all `paths` are there. Else: in CI a throw, so that nothing is skipped unseen; on a developer's machine
 * one line that says what to install, and false. For `describe.skipIf(!needs(...))`.
 */
export function needs(label: string, paths: string[], apt: string): boolean {
  const missing = paths.filter((path) => !existsSync(path));
  if (missing.length === 0) return true;
  const hint = `${label} needs ${missing.join(", ")}: apt-get install ${apt}`;
  if (process.env.CI === "true") throw new Error(hint);
  console.warn(`skipped: ${hint}`);
  return false;
}
