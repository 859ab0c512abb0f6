/**
 * What must be true of a host before its agent takes calls (nova: ComputeManager._ensure_existing_node_identity,
 * _check_for_host_rename): else it would answer for guests that are another's.
 */
import { join } from "node:path";
import { z } from "zod";
import type { Driver } from "./drivers/driver.ts";
import { Failure } from "./failure.ts";
import type { Journal } from "./journal.ts";
import { readIfThere, writePrivate } from "./state-dir.ts";

/** Beside the journal and not in it: it tells an agent that has lost its journal from one that is new. */
const FILE = "node.json";

/** The host's name at the edge, and its hypervisor's own. */
const names = z.object({ name: z.string(), node: z.string() });
type Names = z.infer<typeof names>;

/** Throws `Failure` with what is wrong and what to do; else the state directory is this host's from now on. */
export async function ensureNodeIdentity(
  { stateDir, journal, driver }: { stateDir: string; journal: Journal; driver: Driver },
  name: string,
): Promise<void> {
  const { hypervisor_hostname: node } = await driver.getAvailableResource();
  const path = join(stateDir, FILE);
  const known = read(path);
  const live = journal.liveGuests();
  if (known === null && journal.isNew()) await checkEmpty(driver);
  if (known !== null && live > 0) {
    const renamed = (what: string, from: string, to: string) =>
      new Failure(
        `${what} was ${from} and is now ${to}, and ${live} guests are on record here: give it its old name back, ` +
          "or delete their servers first",
      );
    if (known.name !== name) throw renamed("this host's name at the edge", known.name, name);
    if (known.node !== node) throw renamed("the hypervisor's host name", known.node, node);
  }
  if (known?.name === name && known.node === node) return;
  writePrivate(path, `${JSON.stringify({ name, node } satisfies Names)}\n`, { replace: true });
}

/** Null before an agent first started here. */
function read(path: string): Names | null {
  const text = readIfThere(path);
  if (text === null) return null;
  try {
    return names.parse(JSON.parse(text));
  } catch (error) {
    throw new Failure(`${path} is damaged: remove it, if the guests on this host are its own`, { cause: error });
  }
}

async function checkEmpty(driver: Driver): Promise<void> {
  const guests = await driver.listGuests();
  if (guests.length === 0) return;
  throw new Failure(
    `this agent is new, and the hypervisor has ${guests.length} guests that an agent made (${guests[0]?.uuid} …): ` +
      "restore that agent's state directory, or name it with --state, or remove the guests",
  );
}
