/** What must hold when nothing is being done any more, whatever was done to the agent and the edge before. */
import { copyFileSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { namesIn } from "./hypervisor.ts";
import { SETTLED_MS, type World } from "./world.ts";

/** Where a server may rest. */
const RESTING = ["ACTIVE", "SHUTOFF", "ERROR"];
/** What the agent keeps in its state directory, beside each driver's own folder and SQLite's files. */
const KEPT = /^((key|host|node)\.json|agent\.toml|journal\.db(-wal|-shm)?|images|snapshots|fake|libvirt)$/;

/** Resolves when all of it holds; rejects with what did not, and had the time to. */
export async function heals(world: World): Promise<void> {
  await world.linked();
  let wrong: string[] = [];
  for (const deadline = Date.now() + SETTLED_MS; Date.now() < deadline; await sleep(100)) {
    wrong = await violations(world);
    if (wrong.length === 0) return;
  }
  throw new Error(`it has not healed:\n${wrong.join("\n")}\n${await world.evidence()}`);
}

/** Each as a sentence; none when all is well. */
export async function violations(world: World): Promise<string[]> {
  const servers = await world.list();
  const flavors = await world.flavors();
  const guests = world.guests();
  const wrong: string[] = [];
  const expectSame = (what: string, found: unknown, right: unknown) => {
    if (JSON.stringify(found) !== JSON.stringify(right)) {
      wrong.push(`${what}: ${JSON.stringify(found)}, not ${JSON.stringify(right)}`);
    }
  };

  for (const server of servers) {
    const { id, status, task } = server;
    if (task !== null || !RESTING.includes(status)) wrong.push(`server ${id} does not rest: ${status} ${task}`);
    expectSame(`what the list has of ${id}`, server, await world.show(id));
  }
  // A server that failed before it had a host has no guest and no claim.
  const placed = servers.filter(({ host }) => host !== null);
  const powers = (all: { id: string; power: number }[]) => all.map(({ id, power }) => `${id} ${power}`).sort();
  expectSame(
    "guests",
    powers(guests.map(({ uuid, power_state }) => ({ id: uuid, power: power_state }))),
    powers(placed),
  );

  const sum = (all: readonly { flavor: string }[], of: "vcpus" | "ram") =>
    all.reduce((total, { flavor }) => total + (flavors.get(flavor)?.[of] ?? Number.NaN), 0);
  const { vcpus_used, memory_mb_used, running_vms } = await world.hypervisorDetail();
  expectSame(
    "claims",
    { vcpus_used, memory_mb_used, running_vms },
    {
      vcpus_used: sum(placed, "vcpus"),
      memory_mb_used: sum(placed, "ram"),
      running_vms: placed.length,
    },
  );
  expectSame("quota", await world.quota(), {
    instances: { in_use: servers.length, reserved: 0 },
    cores: { in_use: sum(servers, "vcpus"), reserved: 0 },
    ram: { in_use: sum(servers, "ram"), reserved: 0 },
  });
  for (const { id, status } of await world.images()) {
    if (status !== "active") wrong.push(`image ${id} is ${status}`);
  }
  expectSame("snapshot files", world.snapshotFiles(), []);
  expectSame("leftovers of guests", world.leftovers(), []);
  expectSame(
    "what does not belong to the agent's state",
    namesIn(world.agentState).filter((name) => !KEPT.test(name)),
    [],
  );
  expectSame(
    "halves of images",
    namesIn(join(world.agentState, "images")).filter((name) => name.endsWith(".part")),
    [],
  );
  expectSame("calls that the agent believes to be under way", openCalls(world.agentState), []);
  return wrong;
}

/** Of a copy: the agent has its journal for itself. */
export function openCalls(agentState: string): unknown[] {
  const folder = mkdtempSync(join(tmpdir(), "journal-"));
  try {
    for (const name of ["journal.db", "journal.db-wal"]) {
      if (existsSync(join(agentState, name))) copyFileSync(join(agentState, name), join(folder, name));
    }
    const db = new DatabaseSync(join(folder, "journal.db"));
    const rows = db.prepare("SELECT method, id FROM calls WHERE status = 'started'").all();
    db.close();
    return rows;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
