/** Debian's OpenStack clients, unmodified, as users of a test's edge (clients.py tells how they are run). */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { TEST_SECRETS } from "../secrets.ts";
import { tableProperties, tableRows } from "./client-table.ts";
import { needs } from "./requirement.ts";

/** The program on a Debian machine, for a test that wants itself. */
export const OPENSTACK = "/usr/bin/openstack";
const NOVA = "/usr/bin/nova";
/** For one test of several commands. */
export const CLIENT_TIMEOUT_MS = 120_000;

const PYTHON = "/usr/bin/python3";
const SERVER = fileURLToPath(new URL("clients.py", import.meta.url));

type Program = "openstack" | "nova";
/** A client's own default: 2.1 of `openstack`, the highest of `nova`; the highest is what both client and edge know. */
export type Version = "default" | "highest" | "2.1";
export type Login = Record<string, string>;
type Answer = { code: number; stdout: string; stderr: string };
type Line<T> = (words: TemplateStringsArray, ...args: (string | string[])[]) => Promise<T>;

/**
 * A program's command line, as a template: its words are parted by blanks, a value in it is one argument whatever is in
 * it, a list several. It rejects, with the client's own words, when the client fails.
 */
export type Shell = Line<string> & {
  /** What it prints with `-f json`. */
  // biome-ignore lint/suspicious/noExplicitAny: the client's output is whatever the test says that it is.
  json: Line<any>;
  /** The rows of the last table that it prints; and such a table of two columns as a record. */
  rows: Line<Record<string, string>[]>;
  properties: Line<Record<string, string>>;
  /** What it says when it fails; rejects when it does not. */
  fails: Line<string>;
};

export type Clients = {
  /** A folder for a test's files. */
  home: string;
  /** A user's shell: the admin in the demo project unless told. */
  shell(program: Program, version?: Version, login?: Login): Shell;
  stop(): void;
};

/** False, with a hint or a throw in CI, when Debian's clients are not here. */
export function clientsMissing(): boolean {
  return !needs("the test of OpenStack's clients", [OPENSTACK, NOVA], "python3-openstackclient python3-novaclient");
}

/** The variables with which a client logs in by a password. */
export function passwordLogin(name: string, password: string, project: string): Login {
  return {
    OS_USERNAME: name,
    OS_PASSWORD: password,
    OS_USER_DOMAIN_NAME: "Default",
    OS_PROJECT_NAME: project,
    OS_PROJECT_DOMAIN_NAME: "Default",
  };
}
const ADMIN = passwordLogin("admin", TEST_SECRETS.ADMIN_PASSWORD, "demo");

export async function startClients(edgeUrl: string): Promise<Clients> {
  const home = mkdtempSync(join(tmpdir(), "edgenova-clients-"));
  const socket = join(home, "commands.sock");
  const shared = { PATH: "/usr/bin:/bin", HOME: home, LANG: "C.UTF-8" };
  const server = spawn(PYTHON, ["-W", "ignore", SERVER, socket], { env: shared, stdio: ["ignore", "pipe", "inherit"] });
  const clientMax = Number(/2\.(\d+)/.exec(await firstLine(server.stdout))?.[1]);
  const minor = Math.min(clientMax, await edgeMax(edgeUrl));
  const where = { OS_AUTH_URL: `${edgeUrl}/identity/v3`, OS_IDENTITY_API_VERSION: "3", OS_REGION_NAME: "RegionOne" };
  return {
    home,
    shell(program, version = "default", login = ADMIN) {
      const asked = version === "highest" ? `2.${minor}` : version;
      const env = { ...shared, ...where, ...login, ...(asked === "default" ? {} : { OS_COMPUTE_API_VERSION: asked }) };
      return shell(program, (args) => ask(socket, { program, args, env }));
    },
    stop() {
      server.kill();
      rmSync(home, { recursive: true, force: true });
    },
  };
}

function shell(program: Program, run: (args: string[]) => Promise<Answer>): Shell {
  const told = async (args: string[]) => {
    const { code, stdout, stderr } = await run(args);
    if (code !== 0) throw new Error(`${program} ${args.join(" ")}: ${code}\n${stdout}${stderr}`);
    return stdout.trim();
  };
  const line: Line<string> = (words, ...args) => told(argumentsOf(words, args));
  const json: Shell["json"] = async (words, ...args) =>
    JSON.parse(await told([...argumentsOf(words, args), "-f", "json"]));
  const rows: Shell["rows"] = async (words, ...args) => tableRows(await line(words, ...args));
  const properties: Shell["properties"] = async (words, ...args) => tableProperties(await line(words, ...args));
  const fails: Shell["fails"] = async (words, ...args) => {
    const { code, stdout, stderr } = await run(argumentsOf(words, args));
    if (code === 0) throw new Error(`${program} did not fail: ${argumentsOf(words, args).join(" ")}\n${stdout}`);
    return stdout + stderr;
  };
  return Object.assign(line, { json, rows, properties, fails });
}

/** A character of no command stands where a value was, so that a word is whole before a value's blanks are in it. */
function argumentsOf(words: TemplateStringsArray, args: (string | string[])[]): string[] {
  const line = words.reduce((before, part, i) => `${before}\uE000${i - 1}\uE000${part}`);
  const value = (i: string | undefined) => (i === undefined ? undefined : args[Number(i)]);
  return line
    .trim()
    .split(/\s+/)
    .flatMap((word) => {
      const list = value(/^\uE000(\d+)\uE000$/.exec(word)?.[1]);
      return Array.isArray(list) ? list : word.replace(/\uE000(\d+)\uE000/g, (_, i) => String(value(i)));
    });
}

async function ask(socket: string, command: { program: Program; args: string[]; env: Login }): Promise<Answer> {
  const connection = connect(socket);
  connection.write(`${JSON.stringify(command)}\n`);
  return JSON.parse(await text(connection));
}

async function edgeMax(edgeUrl: string): Promise<number> {
  const { version } = await (await fetch(`${edgeUrl}/compute/v2.1`)).json();
  return Number(version.version.replace("2.", ""));
}

async function firstLine(stream: NodeJS.ReadableStream): Promise<string> {
  for await (const line of createInterface({ input: stream })) return line;
  throw new Error("the clients did not start");
}
