/** How long this machine has been up, in the words that clients of Nova take apart: those of uptime(1). */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { DriverError } from "./drivers/driver.ts";

const TIMEOUT_MS = 5000;
/** Longest text that the protocol carries, characters. */
const MAX_CHARS = 255;

/** Rejects with `DriverError` NotSupported where the machine has no uptime(1). */
export async function hostUptime(): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)("uptime", [], {
      env: { PATH: process.env.PATH, LANG: "C", LC_ALL: "C" },
      timeout: TIMEOUT_MS,
    });
    return stdout.slice(0, MAX_CHARS);
  } catch {
    throw new DriverError("NotSupported", "The host has no uptime(1).");
  }
}
