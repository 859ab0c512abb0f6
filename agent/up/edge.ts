/** The edge on this machine: wrangler dev, with its secrets and its state. */
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { delimiter, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Failure } from "../failure.ts";
import { type Child, lastLines, startChild } from "./child.ts";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const READY_TIMEOUT_MS = 60_000;
const POLL_MS = 100;

export type EdgeOptions = { port: number; stateDir: string; vars?: Record<string, string> };

/** The deployment's secrets in .dev.vars, made on the first start; returns the admin's password. */
export function ensureSecrets(root = ROOT): string {
  const path = join(root, ".dev.vars");
  const secret = (bytes: number) => randomBytes(bytes).toString("base64url");
  try {
    writeFileSync(path, `ADMIN_PASSWORD=${secret(18)}\nTOKEN_KEY=${secret(32)}\n`, { flag: "wx", mode: 0o600 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  const password = /^ADMIN_PASSWORD=(.+)$/m.exec(readFileSync(path, "utf8"))?.[1];
  if (password === undefined) throw new Failure(`${path} has no ADMIN_PASSWORD: delete the file to have it made anew`);
  return password.replace(/^"(.*)"$/, "$1");
}

/** Rejects with a Failure that says what to do when 127.0.0.1:`port` is taken. */
export function checkPort(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", (error: NodeJS.ErrnoException) => {
      const why = error.code === "EADDRINUSE" ? "is taken" : `cannot be used (${error.code})`;
      reject(new Failure(`port ${port} ${why}: choose another with "npm start -- --port ${port + 1}"`));
    });
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve()));
  });
}

/** Starts wrangler dev; `vars` override [vars] of wrangler.toml. */
export function startEdge({ port, stateDir, vars = {} }: EdgeOptions): Child {
  const persist = join(stateDir, "edge");
  mkdirSync(persist, { recursive: true, mode: 0o700 });
  const args = [
    join(ROOT, "node_modules/wrangler/bin/wrangler.js"),
    "dev",
    ...["--config", join(ROOT, "wrangler.toml")],
    ...["--ip", "127.0.0.1", "--port", String(port), "--inspector-port", "0"],
    ...["--persist-to", persist],
    "--show-interactive-dev-session=false",
    ...Object.entries(vars).flatMap(([name, value]) => ["--var", `${name}:${value}`]),
  ];
  // wrangler's own [build] command is plain `node`: it must be this one, not an older one of the system.
  const path = `${join(ROOT, "node_modules/.bin")}${delimiter}${process.env.PATH ?? ""}`;
  const env = { ...process.env, PATH: path, WRANGLER_SEND_METRICS: "false", CI: "true" };
  return startChild("edge", join(stateDir, "edge.log"), process.execPath, args, env);
}

/** Resolves when the edge answers; rejects with the end of its log when it ends or is too late. */
export async function edgeReady(url: string, edge: Child): Promise<void> {
  const deadline = Date.now() + READY_TIMEOUT_MS;
  let end: number | NodeJS.Signals | undefined;
  void edge.ended.then((code) => {
    end = code;
  });
  while (!(await answers(url))) {
    if (end !== undefined) throw new Failure(`the edge ended (${end}):\n${lastLines(edge.log, 12)}`);
    if (Date.now() > deadline) throw new Failure(`the edge is not ready; its log is ${edge.log}`);
    await sleep(POLL_MS);
  }
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/compute/v2.1`, { signal: AbortSignal.timeout(2_000) })).ok;
  } catch {
    return false;
  }
}
