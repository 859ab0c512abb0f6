#!/usr/bin/env node
/** edgenova's command line for users. Exit codes: 0 done, 1 a failure that the message explains, 2 bad usage. */
import { Command, CommanderError } from "commander";
import { describe, Failure } from "../failure.ts";
import { addDrainCommand } from "./drain-command.ts";
import { addLinkCommands } from "./link-command.ts";
import { printable } from "./readable.ts";
import { addSessionCommands } from "./session-command.ts";

const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;

// Whoever read the output has seen enough of it.
process.stdout.on("error", () => process.exit(0));

const program = new Command("edgenova")
  .description("Hands out consoles of an edgenova cloud, and empties its hosts.")
  .exitOverride();
addLinkCommands(program);
addSessionCommands(program);
addDrainCommand(program);

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // Commander has written its message, and throws for --help too.
    process.exit(error.exitCode === 0 ? 0 : EXIT_USAGE);
  }
  const message = error instanceof Failure ? error.message : describe(error);
  process.stderr.write(`edgenova: ${printable(message)}\n`);
  process.exitCode = EXIT_FAILURE;
}
