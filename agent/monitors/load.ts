/** Which monitors there are, and which of them run. */
import { readdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { z } from "zod";
import type { AgentConfig } from "../config.ts";
import { Failure, networkReason } from "../failure.ts";
import { cpuMonitor } from "./cpu.ts";
import type { Monitor } from "./monitor.ts";

const FILE = /(?<!\.d|\.test)\.(ts|mts|js|mjs)$/;

const monitor = z.custom<Monitor>(
  (value) => z.object({ name: z.string().regex(/^[\w-]+\.[\w-]+$/), measure: z.function() }).safeParse(value).success,
);

type Options = Pick<AgentConfig, "compute_monitors" | "compute_monitors_path">;

/** Those that compute_monitors names. Rejects with a `Failure` that says what is wrong, and what there is. */
export async function loadMonitors({ compute_monitors, compute_monitors_path }: Options): Promise<Monitor[]> {
  const known = new Map<string, Monitor>();
  const own = compute_monitors_path === "" ? [] : await ownMonitors(resolve(compute_monitors_path));
  for (const one of [cpuMonitor(), ...own]) {
    if (known.has(one.name)) throw new Failure(`compute_monitors_path: there is another monitor ${one.name}`);
    known.set(one.name, one);
  }
  return [...new Set(compute_monitors)].map((name) => {
    const found = known.get(name);
    if (!found) throw new Failure(`compute_monitors: ${name} is not one of ${[...known.keys()].join(", ")}`);
    return found;
  });
}

/** All that the files of a folder export and that are monitors. */
async function ownMonitors(folder: string): Promise<Monitor[]> {
  const files = await readdir(folder).catch((error: unknown) => {
    throw new Failure(`cannot read compute_monitors_path ${folder}: ${networkReason(error)}`, { cause: error });
  });
  const found: Monitor[] = [];
  for (const file of files.filter((name) => FILE.test(name)).sort()) {
    const path = join(folder, file);
    const exported = await import(pathToFileURL(path).href).catch((error: unknown) => {
      throw new Failure(`${path}: ${String(error).split("\n")[0]}`, { cause: error });
    });
    const monitors = Object.values(exported).flatMap((value) => monitor.safeParse(value).data ?? []);
    if (monitors.length === 0)
      throw new Failure(`${path} exports no monitor: an object with name (type.name) and measure`);
    found.push(...monitors);
  }
  return found;
}
