/** What all of the commands have in common. */
import { homedir } from "node:os";
import type { Command } from "commander";
import { CloudApi } from "./cloud-api.ts";
import { findLogin } from "./cloud-config.ts";

export type Common = { osCloud?: string; json?: true };
/** Of what is named, or of all there is. */
export type ChooseFlags = Common & { all?: true };

/** Describes a command and adds the options that each has. */
export function common(command: Command, description: string): Command {
  return command
    .description(description)
    .option("--os-cloud <name>", "the cloud in clouds.yaml (default: OS_CLOUD, the OS_… variables, or npm start's)")
    .option("--json", "print JSON");
}

/** The API of the cloud that the flags and the environment name. */
export function connect({ osCloud }: Common): Promise<CloudApi> {
  return CloudApi.login(findLogin({ env: process.env, cwd: process.cwd(), home: homedir() }, osCloud));
}

export function print({ json }: Common, value: unknown, text: () => string): void {
  process.stdout.write(json ? `${JSON.stringify(value, null, 2)}\n` : text());
}
