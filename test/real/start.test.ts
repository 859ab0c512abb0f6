/** `npm start` as a newcomer types it, up to typing into the demo server's screen in Chromium; and all the ways to end it. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PNG } from "pngjs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ROOT } from "../../agent/up/edge.ts";
import { until } from "../edge.ts";
import { terminal } from "../fake-terminal.ts";
import { freePort } from "../free-port.ts";
import { expectNoSecretsIn, noteLinks } from "../log-scan.ts";
import { familyOf, killGroup, processes } from "../process-tree.ts";
import { needs } from "./requirement.ts";
import { openViewer } from "./viewer.ts";

const noBrowser = !needs("the test of the console in a browser", ["/usr/bin/chromium"], "chromium");
const START_TIMEOUT_MS = 60_000;
const UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}";

type Started = { process: ChildProcess; pid: number; output(): string };

const started: Started[] = [];
let state: string;
let port: number;

beforeAll(async () => {
  state = mkdtempSync(join(tmpdir(), "edgenova-start-"));
  port = await freePort();
});
afterAll(async () => {
  for (const { pid } of started) for (const { group } of familyOf(pid)) await killGroup(group);
  for (const one of started) noteLinks(one.output());
  expectNoSecretsIn(state);
  rmSync(state, { recursive: true, force: true });
});

/** Runs a command in a process group of its own, as a terminal does. */
function run(command: string, args: string[]): Started {
  const child = spawn(command, args, { cwd: ROOT, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk) => {
      text += String(chunk);
    });
  }
  const one = { process: child, pid: child.pid ?? 0, output: () => text };
  started.push(one);
  return one;
}

const common = () => ["--state", state, "--port", String(port)];
const npmStart = () => run("npm", ["start", "--", ...common()]);

async function ready(one: Started, lastLine: RegExp): Promise<RegExpExecArray> {
  await until(() => lastLine.test(one.output()) || one.process.exitCode !== null, "it is up", START_TIMEOUT_MS);
  const found = lastLine.exec(one.output());
  if (found === null) throw new Error(`it ended with ${one.process.exitCode}: ${one.output()}`);
  return found;
}

async function exit(one: Started): Promise<number | NodeJS.Signals | null> {
  if (one.process.exitCode === null && one.process.signalCode === null) await once(one.process, "close");
  return one.process.exitCode ?? one.process.signalCode;
}

/** What Ctrl-C does: SIGINT to the group in the foreground. Everything that was started must be gone with it. */
async function ctrlC(one: Started): Promise<number | NodeJS.Signals | null> {
  const family = familyOf(one.pid);
  expect(family.filter(({ command }) => command.includes("workerd")).length).toBeGreaterThan(0);
  expect(family.filter(({ command }) => command.includes("agent/main.ts")).length).toBeGreaterThan(0);
  process.kill(-one.pid, "SIGINT");
  const end = await exit(one);
  const pids = new Set(family.map(({ pid }) => pid));
  const groups = new Set(family.map(({ group }) => group));
  expect(processes().filter(({ pid, group }) => pids.has(pid) || groups.has(group))).toEqual([]);
  expect(one.output()).not.toMatch(/^ {4}at /m);
  return end;
}

const CONSOLE = new RegExp(
  `^ {2}Console {2}(http://\\S+/vnc_auto\\.html\\?token=${UUID}&title=demo%28(${UUID})%29)$`,
  "m",
);

describe("npm start", () => {
  let link: string;
  let server: string;
  let first: Started;

  it("prints where everything is", { timeout: START_TIMEOUT_MS }, async () => {
    first = npmStart();
    const [, url = "", uuid = ""] = await ready(first, CONSOLE);
    [link, server] = [url, uuid];
    const edge = `http://127.0.0.1:${port}`;
    const lines = first.output().trimEnd().split("\n").slice(-4);
    expect(lines).toEqual([
      "edgenova is up",
      `  API      ${edge}/compute/v2.1`,
      `  Cloud    export OS_CLIENT_CONFIG_FILE=${state}/clouds.yaml OS_CLOUD=edgenova`,
      `  Console  ${link}`,
    ]);
    expect(link.startsWith(`${edge}/`)).toBe(true);
    expect((await fetch(`${edge}/compute/v2.1`)).status).toBe(200);
  });

  it.skipIf(noBrowser)("links to a living screen, into which one can type", async () => {
    const viewer = await openViewer(link);
    try {
      await viewer.waitForState("connected");
      const before = await viewer.waitForPicture((picture) => terminal(picture) !== null);
      const shot = async () => PNG.sync.read(await viewer.page.locator("#screen canvas").screenshot());
      const shotBefore = await shot();
      await viewer.type("Hello, edge!");
      const typed = await viewer.waitForPicture(
        (picture) => changed(terminal(before) as Buffer, terminal(picture) as Buffer) > 200,
      );
      // The same on the glass: what Chromium paints changed too, and is not of one colour.
      const shotAfter = await shot();
      expect(changed(shotBefore.data, shotAfter.data)).toBeGreaterThan(100);
      expect(
        new Set(new Uint32Array(shotAfter.data.buffer, shotAfter.data.byteOffset, shotAfter.data.length / 4)).size,
      ).toBeGreaterThan(4);
      for (let i = 0; i < "Hello, edge!".length; i++) await viewer.press("Backspace");
      await viewer.waitForPicture((picture) => terminal(picture)?.equals(terminal(before) as Buffer) === true);
      expect(terminal(typed)?.equals(terminal(before) as Buffer)).toBe(false);
      expect(viewer.page.url()).not.toContain("token");
      expect(viewer.problems).toEqual([]);
    } finally {
      await viewer.close();
    }
  });

  it("says in one line that its port is taken", async () => {
    const second = run(process.execPath, ["agent/up/main.ts", "--port", String(port), "--state", `${state}/other`]);
    expect(await exit(second)).toBe(1);
    expect(second.output()).toBe(
      `edgenova: port ${port} is taken: choose another with "npm start -- --port ${port + 1}"\n`,
    );
  });

  it("leaves no process behind at Ctrl-C", async () => {
    await ctrlC(first);
  });

  it("finds the same server when it is started again", { timeout: START_TIMEOUT_MS }, async () => {
    const again = npmStart();
    const [, , uuid] = await ready(again, CONSOLE);
    expect(uuid).toBe(server);
    await ctrlC(again);
  });

  it("runs several hosts, and no demo, when told", { timeout: START_TIMEOUT_MS }, async () => {
    const bare = run(process.execPath, ["agent/up/main.ts", ...common(), "--hosts", "2", "--no-demo"]);
    await ready(bare, /^ {2}Cloud .*$/m);
    const agents = familyOf(bare.pid).filter(({ command }) => command.includes("agent/main.ts"));
    expect(agents.map(({ command }) => /agents\/(\S+)/.exec(command)?.[1]).sort()).toEqual(["fake-1", "fake-2"]);
    expect(bare.output()).toContain("starting 2 hosts");
    // npm itself ends by the signal that it passes on; what it runs ends in order.
    expect(await ctrlC(bare)).toBe(0);
    expect(bare.output()).not.toMatch(/^ {2}Console|demo server/m);
  });

  it.each([
    [["--colour", "blue"], 2, /^error: unknown option '--colour'\n/],
    [["--port", "99999"], 2, /whole number from 1 to 65535/],
    [["--driver", "hyper-v"], 2, /Allowed choices are libvirt, fake/],
    [["--driver", "libvirt", "--hosts", "2"], 2, /one machine is one libvirt host/],
    [["--driver", "libvirt", "--connection-uri", "qemu:///system?socket=/nonexistent"], 1, /^edgenova: .*apt-get.*\n$/],
    [["--help"], 0, /--no-demo/],
  ])("with %j ends with %i and says why", async (args, code, message) => {
    const spare = String(await freePort());
    const port = args.includes("--port") ? [] : ["--port", spare];
    const one = run(process.execPath, ["agent/up/main.ts", "--state", `${state}/other`, ...port, ...args]);
    expect(await exit(one)).toBe(code);
    expect(one.output()).toMatch(message);
    expect(one.output()).not.toMatch(/^ {4}at /m);
  });
});

/** How many pixels differ between two pictures of one size. */
function changed(a: Buffer, b: Buffer): number {
  expect(a.length).toBe(b.length);
  let count = 0;
  for (let at = 0; at < a.length; at += 4) if (a.readUInt32LE(at) !== b.readUInt32LE(at)) count++;
  return count;
}
