#!/usr/bin/env node
/** edgenova-agent's command line. Exit codes: 0 done, 1 a failure that the message explains, 2 bad usage. */
import { hostname } from "node:os";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { type RunningAgent, startAgent } from "./agent.ts";
import { checkHost } from "./check/check.ts";
import { isReady, json, readable } from "./check/finding.ts";
import { type AgentConfig, loadConfig, VIRT_TYPES } from "./config.ts";
import { DriverError } from "./drivers/driver.ts";
import { DRIVERS, loadDriver } from "./drivers/load.ts";
import { enroll } from "./enroll.ts";
import { describe, Failure } from "./failure.ts";
import { loadIdentity } from "./identity.ts";
import { createLog } from "./log.ts";
import { stopOnSignal } from "./signals.ts";
import { defaultStateDir } from "./state-dir.ts";
import { agentVersion } from "./version.ts";

const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;

type EnrollFlags = { edge: string; joinToken: string; host: string; state: string };
type RunFlags = {
  state: string;
  config?: string;
  driver: (typeof DRIVERS)[number];
  connectionUri?: string;
  virtType?: (typeof VIRT_TYPES)[number];
  fakeVcpus?: number;
  fakeMemoryMb?: number;
  fakeDiskGb?: number;
};

type CheckFlags = RunFlags & { edge?: string; json?: true };

const log = createLog(process.stderr);
// When whoever reads the log has gone, the guests' agent goes on.
process.stderr.on("error", () => undefined);

async function runEnroll(flags: EnrollFlags): Promise<void> {
  const { edge, joinToken, host, state } = flags;
  const enrolment = await enroll({ edge, joinToken, host, stateDir: state });
  process.stdout.write(`enrolled as ${enrolment.host} at ${enrolment.edge}\n`);
}

async function runAgent(flags: RunFlags): Promise<void> {
  process.on("uncaughtException", fatal);
  process.on("unhandledRejection", fatal);
  let agent: RunningAgent | undefined;
  stopOnSignal(async () => agent?.stop(), log);
  const identity = await loadIdentity(flags.state);
  const config = withFlags(loadConfig(flags.state, flags.config), flags);
  const { driver } = flags;
  const version = agentVersion();
  log("agent.starting", { host: identity.host, edge: identity.edge, driver, version });
  agent = await startAgent({
    stateDir: flags.state,
    identity,
    config,
    driverName: driver,
    loadDriver: (context) => loadDriver({ driver, host: identity.host, config }, context),
    version,
    log,
  });
}

async function runCheck(flags: CheckFlags): Promise<void> {
  const { state: stateDir, config, driver, edge } = flags;
  const findings = await checkHost({
    stateDir,
    driver,
    withFlags: (read) => withFlags(read, flags),
    ...(config === undefined ? {} : { config }),
    ...(edge === undefined ? {} : { edge }),
  });
  process.stdout.write(flags.json ? json(findings) : readable(findings));
  if (!isReady(findings)) process.exitCode = EXIT_FAILURE;
}

/** What the command line says wins over the file. */
function withFlags({ libvirt, fake, ...config }: AgentConfig, flags: RunFlags): AgentConfig {
  return {
    ...config,
    libvirt: {
      ...libvirt,
      connection_uri: flags.connectionUri ?? libvirt.connection_uri,
      virt_type: flags.virtType ?? libvirt.virt_type,
    },
    fake: {
      vcpus: flags.fakeVcpus ?? fake.vcpus,
      memory_mb: flags.fakeMemoryMb ?? fake.memory_mb,
      local_gb: flags.fakeDiskGb ?? fake.local_gb,
    },
  };
}

/** The journal and the drivers are made for being cut off at any point: leave everything as it is, a supervisor restarts. */
function fatal(error: unknown): never {
  log("agent.crashed", { message: describe(error) });
  process.exit(EXIT_FAILURE);
}

function positive(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError("It must be a whole number above 0.");
  return value;
}

function commandLine(): Command {
  const program = new Command("edgenova-agent")
    .description("Runs guests on this hypervisor for an edgenova edge.")
    .exitOverride();
  const state = () =>
    new Option("--state <dir>", "where the agent keeps its key and journal").default(defaultStateDir());
  program
    .command("enroll")
    .description("give this host to an edge, once")
    .requiredOption("--edge <url>", "the edge's URL (https://…)")
    .addOption(
      new Option("--join-token <token>", "the token that the edge's admin made for this host")
        .env("EDGENOVA_JOIN_TOKEN")
        .makeOptionMandatory(),
    )
    .option("--host <name>", "the host's name at the edge", hostname())
    .addOption(state())
    .action(runEnroll);
  hypervisor(program.command("run").description("connect to the edge and stay connected").addOption(state()))
    .option("--fake-vcpus <n>", "the fake hypervisor's CPUs", positive)
    .option("--fake-memory-mb <n>", "the fake hypervisor's memory in MiB", positive)
    .option("--fake-disk-gb <n>", "the fake hypervisor's disk in GiB", positive)
    .action(runAgent);
  hypervisor(
    program.command("check").description("say whether this host is ready, and what mends it").addOption(state()),
  )
    .option("--edge <url>", "the edge to reach (default: the one that this host is enrolled at)")
    .option("--json", "print what was found as JSON")
    .action(runCheck);
  program
    .command("version")
    .description("print the agent's version")
    .action(() => void process.stdout.write(`${agentVersion()}\n`));
  return program;
}

/** Adds what names the hypervisor and its options. */
function hypervisor(command: Command): Command {
  return command
    .addOption(new Option("--driver <name>", "the hypervisor").choices(DRIVERS).default("libvirt"))
    .option("--config <file>", "the agent's options, by Nova's names (default: agent.toml in --state, if it is there)")
    .option("--connection-uri <uri>", "libvirt's connection URI (default: the config's, else qemu:///system)")
    .addOption(
      new Option("--virt-type <type>", "libvirt's domain type (default: the config's, else auto)").choices(VIRT_TYPES),
    );
}

try {
  await commandLine().parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // Commander has written its message, and throws for --help too.
    process.exit(error.exitCode === 0 ? 0 : EXIT_USAGE);
  }
  const explained = error instanceof Failure || error instanceof DriverError;
  process.stderr.write(`edgenova-agent: ${explained ? error.message : describe(error)}\n`);
  process.exit(EXIT_FAILURE);
}
