/**
 * `npm run bench`: this project's console path beside Debian's websockify, on this machine and in the same run, and the
 * API and the scheduler beside Nova's figures, with what each operation costs. It measures, says what the aim is, and
 * never judges. Exit codes: 0 it ran, 1 it could not, 2 bad usage, 130 Ctrl-C.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, cpus, release, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ROOT } from "../../agent/up/edge.ts";
import { api } from "./api.ts";
import { type Bench, type Measure, MIB } from "./bench.ts";
import { startChild, stopChildren } from "./child.ts";
import { crowd } from "./crowd.ts";
import { echo } from "./echo.ts";
import { held } from "./held.ts";
import { idleMemory } from "./idle-memory.ts";
import { live } from "./live.ts";
import { move } from "./move.ts";
import { open } from "./open.ts";
import { pixel } from "./pixel.ts";
import { reconnect } from "./reconnect.ts";
import { resume } from "./resume.ts";
import { scheduler } from "./scheduler.ts";
import { stalled } from "./stalled.ts";
import { number, table } from "./table.ts";
import {
  type Ground,
  hasWebsockify,
  killWebsockifies,
  startTarget,
  TARGETS,
  type Target,
  type TargetName,
  WEBSOCKIFY,
} from "./target.ts";
import { throughput } from "./throughput.ts";
import { bundleWorker } from "./worker-bundle.ts";

/** Memory first: a quick run has one start for all. */
const BENCHES: readonly Bench[] = [idleMemory, stalled, crowd, open, resume, echo, pixel, throughput, held];
/** Those that have tables of their own. */
const TABLES = [api, scheduler, reconnect, move, live];
const NAMES = [...BENCHES, ...TABLES].map(({ name }) => name);
const USAGE = `usage: npm run bench -- [--only ${NAMES.join("|")}] [--quick]`;

type Options = { only: string | null; quick: boolean };

/**
 * The targets take turns in each bench, so that a busy machine is busy for all of them. Each turn is on a start of its
 * own, so that what one bench left behind is no part of the next; a quick run saves that time.
 */
async function main({ only, quick }: Options): Promise<void> {
  const startedMs = performance.now();
  const dir = mkdtempSync(join(tmpdir(), "edgenova-bench-"));
  process.once("exit", () => rmSync(dir, { recursive: true, force: true }));
  const chosen = (name: string) => only === null || only === name;
  const targets: TargetName[] = TARGETS.filter((name) => name !== "websockify" || hasWebsockify());
  say(machine());
  say(
    "Edge: the bundle of `wrangler deploy --dry-run` in one workerd, reached by a socket that leads straight into the",
  );
  say("Worker (no wrangler dev, no proxy). Agent: its own process. All on loopback without TLS, each started anew for");
  say(
    "each group of figures, but for --quick. Memory is PSS. viewer -> workerd -> agent -> VNC; websockify has one hop less.",
  );
  if (targets.length < TARGETS.length) say(`There is no ${WEBSOCKIFY} to compare with: apt-get install websockify`);
  say("");
  const ground = await prepare(dir);
  const compare = targets.includes("websockify") ? ["native / websockify"] : [];
  const rows = [["console path", "", ...targets.map(title), ...compare, "aim"]];
  const notes: string[] = [];
  const benches = BENCHES.filter(({ name }) => chosen(name));
  const kept = new Map<TargetName, Target>();
  for (const bench of benches) {
    const measures: Measure[][] = [];
    for (const name of targets) {
      progress(`${title(name)}, ${bench.name}: ${bench.about(quick)}`);
      const target = kept.get(name) ?? (await startTarget(name, ground));
      if (quick) kept.set(name, target);
      measures.push(await bench.run(target, { quick, ground }));
      if (!quick) await target.stop();
    }
    rows.push(...compared(measures));
    notes.push(...measures.flat().flatMap(({ note = [] }) => note));
  }
  for (const target of kept.values()) await target.stop();
  if (rows.length > 1) say([table(rows), ...notes.map((note) => `* ${note}`), ""].join("\n"));
  for (const { name, about, run } of TABLES.filter(({ name }) => chosen(name))) {
    progress(`${name}: ${about(quick)}`);
    for (const rows of await run(ground, quick)) say(`${table(rows)}\n`);
  }
  await ground.screen.stop();
  say(`${Math.round((performance.now() - startedMs) / 1000)} s${quick ? "; --quick: too short to quote" : ""}`);
}

async function prepare(dir: string): Promise<Ground> {
  const bundleDir = join(dir, "worker");
  mkdirSync(bundleDir);
  await bundleWorker(bundleDir);
  const screenPath = join(dir, "screen.sock");
  return { dir, bundleDir, screenPath, screen: await startChild<object>("screen-process", { path: screenPath }) };
}

/** A row for each measure: name and unit, a cell for each target, how the first compares to the last, and the aim. */
function compared(measures: readonly Measure[][]): string[][] {
  return (measures[0] ?? []).map(({ what, unit, value, aim = "" }, i) => {
    const cells = measures.map((each) => `${number(each[i]?.value ?? Number.NaN)}${each[i]?.note ? "*" : ""}`);
    if (measures.length < TARGETS.length) return [what, unit, ...cells, aim];
    const ratio = value / (measures.at(-1)?.[i]?.value ?? Number.NaN);
    return [what, unit, ...cells, Number.isFinite(ratio) ? number(ratio) : "-", aim];
  });
}

const title = (name: TargetName) => (name === "websockify" ? name : `edgenova ${name}`);

function machine(): string {
  const cpu = cpus()[0]?.model.trim() ?? "a CPU";
  const memory = `${Math.round(totalmem() / MIB / 1024)} GiB`;
  const versions = [`Node ${process.versions.node}`, `workerd ${packageVersion("workerd")}`, websockifyVersion()];
  return `${availableParallelism()} x ${cpu}, ${memory}, Linux ${release()}; ${versions.join(", ")}`;
}

function packageVersion(name: string): string {
  return execFileSync(process.execPath, ["-p", `require("${name}/package.json").version`], { cwd: ROOT })
    .toString()
    .trim();
}

function websockifyVersion(): string {
  if (!hasWebsockify()) return "no websockify";
  try {
    return `websockify ${execFileSync("dpkg-query", ["-W", "-f", "$" + "{Version}", "websockify"]).toString()}`;
  } catch {
    return "websockify of unknown version";
  }
}

function parse(args: string[]): Options | null {
  try {
    const { values } = parseArgs({ args, options: { only: { type: "string" }, quick: { type: "boolean" } } });
    const { only = null, quick = false } = values;
    return only === null || NAMES.includes(only) ? { only, quick } : null;
  } catch {
    return null;
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** What is being done, for who waits; not part of the output. */
function progress(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Nothing that was started stays, whichever way this ends. */
async function exit(code: number): Promise<never> {
  killWebsockifies();
  await stopChildren();
  process.exit(code);
}

let stopping = false;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
  process.once(signal, () => {
    stopping = true;
    void exit(130);
  });

const options = parse(process.argv.slice(2));
if (options === null) {
  process.stderr.write(`${USAGE}\n`);
  process.exit(2);
}
try {
  await main(options);
  await exit(0);
} catch (error) {
  // What fails because Ctrl-C takes it down is no failure.
  if (!stopping) {
    console.error("bench:", error);
    await exit(1);
  }
}
