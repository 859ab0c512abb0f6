/** `edgenova drain`: empties a host, and tells how far it is. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import { z } from "zod";
import { Failure } from "../failure.ts";
import type { CloudApi } from "./cloud-api.ts";
import { type Common, common, connect, print } from "./command.ts";
import { table } from "./readable.ts";

type Flags = Common & { stop?: true; wait: boolean };

/** Services have uuids, and can be drained, from here on. */
const MINOR = 53;
const LOOK_MS = 1000;

const text = z.string().max(4096);
const services = z.object({ services: z.array(z.object({ id: text, host: text })) });
const drain = z.object({
  host: text,
  state: z.enum(["running", "done", "stopped"]),
  started_at: text,
  ended_at: text.nullable(),
  servers: z.array(
    z.object({
      id: text,
      state: z.enum(["waiting", "moving", "moved", "failed"]),
      how: text.nullable(),
      reason: text.nullable(),
    }),
  ),
});
type Drain = z.infer<typeof drain>;

export function addDrainCommand(program: Command): void {
  common(program.command("drain <host>"), "move all servers off a host, which takes no new ones from then on")
    .option("--stop", "begin no further moves; the host stays disabled")
    .option("--no-wait", "do not wait for the end")
    .action(run);
}

async function run(host: string, flags: Flags): Promise<void> {
  const api = (await connect(flags)).at(MINOR);
  const path = `/os-services/${await serviceOf(api, host)}`;
  const change = flags.stop ? { drain: false } : { status: "disabled", drain: true };
  await api.call(z.object({ service: z.object({}) }), "PUT", path, change);
  const look = async () => (await api.call(z.object({ drain }), "GET", `${path}/drain`)).drain;
  let now = await look();
  for (let told = ""; flags.wait && now.state === "running"; now = await look()) {
    const line = summary(now);
    if (!flags.json && line !== told) process.stderr.write(`${line}\n`);
    told = line;
    await sleep(LOOK_MS);
  }
  print(flags, now, () => drainText(now));
  if (!flags.stop && now.servers.some(({ state }) => state === "failed")) process.exitCode = 1;
}

async function serviceOf(api: CloudApi, host: string): Promise<string> {
  const query = new URLSearchParams({ host, binary: "nova-compute" });
  const found = await api.call(services, "GET", `/os-services?${query}`);
  const [service] = found.services.filter((one) => one.host === host);
  if (service === undefined) throw new Failure(`there is no host "${host}": look with openstack compute service list`);
  return service.id;
}

function summary({ host, servers }: Drain): string {
  const of = (state: Drain["servers"][number]["state"]) => servers.filter((one) => one.state === state).length;
  return `${host}: ${of("moved")} of ${servers.length} moved, ${of("moving")} moving, ${of("failed")} failed`;
}

function drainText(now: Drain): string {
  const rows = now.servers.map(({ id, state, how, reason }) => [id, state, how ?? "-", reason ?? "-"]);
  const list = rows.length === 0 ? "" : table([["SERVER", "STATE", "HOW", "WHY"], ...rows]);
  return `${list}${summary(now)}; it is ${now.state}\n`;
}
