/** `npm start`: the whole product on this machine. Exit codes: 0 stopped by Ctrl-C, 1 a failure it explains, 2 bad usage. */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CommanderError } from "commander";
import { DriverError } from "../drivers/driver.ts";
import { describe, Failure } from "../failure.ts";
import type { Child } from "./child.ts";
import { Cloud } from "./cloud.ts";
import { demoDisk } from "./demo-disk.ts";
import { checkPort, edgeReady, ensureSecrets, startEdge } from "./edge.ts";
import { checkHypervisor, hostLinked, hostNames, startHost } from "./hosts.ts";
import { parseOptions, type UpOptions } from "./options.ts";

const DEMO = { image: "edgenova-demo", server: "demo", flavor: "1" } as const;
const BUILD_TIMEOUT_MS = 120_000;

const children: Child[] = [];
let stopping = false;

async function up(options: UpOptions): Promise<void> {
  await checkPort(options.port);
  await checkHypervisor(options);
  // QEMU under libvirt runs as a user of its own, and passes through here; what is secret has its own modes.
  for (const dir of [options.state, join(options.state, "agents")]) {
    mkdirSync(dir, { recursive: true });
    chmodSync(dir, 0o711);
  }
  const password = ensureSecrets();
  const url = `http://127.0.0.1:${options.port}`;
  say("starting the edge …");
  const edge = startEdge({ port: options.port, stateDir: options.state });
  children.push(edge);
  await edgeReady(url, edge);
  const cloud = await Cloud.login(url, password);
  const names = hostNames(options);
  say(`starting ${names.length === 1 ? `host ${names[0]}` : `${names.length} hosts`} …`);
  for (const name of names) children.push(await startHost(cloud, url, name, options));
  await Promise.all(children.filter((child) => child !== edge).map(hostLinked));
  const console = options.demo ? await demo(cloud) : null;
  const clouds = writeClouds(options.state, url, password);
  say("edgenova is up");
  say(`  API      ${url}/compute/v2.1`);
  say(`  Cloud    export OS_CLIENT_CONFIG_FILE=${clouds} OS_CLOUD=edgenova`);
  if (console !== null) say(`  Console  ${console}`);
  const { name, log, end } = await Promise.race(
    children.map(async (child) => ({ name: child.name, log: child.log, end: await child.ended })),
  );
  if (!stopping) throw new Failure(`${name} ended (${end}); its log is ${log}`);
}

/** The demo server's console link; the server and its image are made if they are not there. */
async function demo(cloud: Cloud): Promise<string | null> {
  say("starting the demo server …");
  let server = await cloud.findServer(DEMO.server);
  if (server === null) {
    const image = (await cloud.findImage(DEMO.image)) ?? (await cloud.createImage(DEMO.image, "raw", demoDisk()));
    const id = await cloud.createServer(DEMO.server, image, DEMO.flavor);
    server = await cloud.built(id, BUILD_TIMEOUT_MS);
  }
  if (server.status === "ACTIVE") return cloud.consoleUrl(server.id);
  const why = server.fault ? `: ${server.fault.message}` : "";
  say(`the demo server is ${server.status}${why}`);
  return null;
}

/** The clouds.yaml that OpenStack's clients read; only its owner may. */
function writeClouds(state: string, url: string, password: string): string {
  const path = join(state, "clouds.yaml");
  const lines = [
    "clouds:",
    "  edgenova:",
    "    auth:",
    `      auth_url: ${url}/identity/v3`,
    "      username: admin",
    `      password: ${JSON.stringify(password)}`,
    "      project_name: demo",
    "      user_domain_name: Default",
    "      project_domain_name: Default",
    "    region_name: RegionOne",
    "    identity_api_version: 3",
    '    compute_api_version: "2.90"',
  ];
  writeFileSync(path, `${lines.join("\n")}\n`, { mode: 0o600 });
  return path;
}

async function stop(code: number): Promise<never> {
  stopping = true;
  // Agents first: they close their links while there is an edge to hear it.
  const [edge, ...agents] = children;
  await Promise.all(agents.map((agent) => agent.stop()));
  await edge?.stop();
  process.exit(code);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => {
    if (stopping) process.exit(1);
    void stop(0);
  });
}

try {
  const options = parseOptions(process.argv.slice(2));
  if (options !== null) await up(options);
} catch (error) {
  if (error instanceof CommanderError) process.exit(2);
  if (!stopping) {
    const explained = error instanceof Failure || error instanceof DriverError;
    process.stderr.write(`edgenova: ${explained ? error.message : describe(error)}\n`);
    await stop(1);
  }
}
