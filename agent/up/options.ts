/** The command line of `npm start`. */
import { resolve } from "node:path";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { VIRT_TYPES } from "../config.ts";
import { DRIVERS } from "../drivers/load.ts";

export type UpOptions = {
  driver: (typeof DRIVERS)[number];
  port: number;
  hosts: number;
  state: string;
  demo: boolean;
  connectionUri: string;
  virtType: (typeof VIRT_TYPES)[number];
};

/** More hosts than this on one machine are a load test, not a demo. */
const MAX_HOSTS = 50;

/** The options in `argv` (without the program's own name); null after --help. Throws CommanderError, whose words are written. */
export function parseOptions(argv: readonly string[]): UpOptions | null {
  const command = new Command("npm start --")
    .description("Runs edgenova on this machine: the edge under wrangler dev, its agents, and a demo server.")
    .addOption(new Option("--driver <name>", "the hypervisor").choices(DRIVERS).default("fake"))
    .option("--port <n>", "the edge's port on 127.0.0.1", wholeNumber(1, 65_535), 8787)
    .option("--hosts <n>", "how many fake hosts", wholeNumber(1, MAX_HOSTS), 1)
    .option("--state <dir>", "where everything is kept", ".edgenova")
    .option("--no-demo", "make no demo image and no demo server")
    .option("--connection-uri <uri>", "libvirt's connection URI", "qemu:///system")
    .addOption(new Option("--virt-type <type>", "libvirt's domain type").choices(VIRT_TYPES).default("auto"))
    .allowExcessArguments(false)
    .exitOverride();
  try {
    command.parse([...argv], { from: "user" });
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return null;
    throw error;
  }
  const options = command.opts<UpOptions>();
  if (options.driver === "libvirt" && options.hosts !== 1) {
    command.error("error: --hosts is for the fake driver: one machine is one libvirt host");
  }
  return { ...options, state: resolve(options.state) };
}

function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
  };
}
