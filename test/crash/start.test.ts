/** An agent that cannot start says why in one line, ends with 1, and has touched no guest. */
import { execFile } from "node:child_process";
import { copyFileSync, mkdirSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ROOT } from "../../agent/up/edge.ts";
import { heals } from "./invariants.ts";
import { canMount, SmallDisk } from "./small-disk.ts";
import { World } from "./world.ts";

const TIMEOUT_MS = 120_000;

/** How a run of the agent ends, and all that it says beside its log. */
function attempt(agentState: string): Promise<{ code: unknown; said: string[] }> {
  const args = [join(ROOT, "agent/main.ts"), "run", "--driver", "fake", "--state", agentState];
  return new Promise((resolve) => {
    execFile(process.execPath, args, { timeout: 30_000 }, (error, stdout, stderr) => {
      const said = `${stdout}${stderr}`.split("\n").filter((line) => line !== "" && !line.startsWith("{"));
      resolve({ code: error?.code ?? 0, said });
    });
  });
}

describe.skipIf(!canMount)("an agent that cannot start", () => {
  let disk: SmallDisk;
  let world: World;
  let id: string;
  beforeAll(async () => {
    disk = new SmallDisk(16);
    mkdirSync(join(disk.path, "agent"));
    world = await World.start({ agentState: join(disk.path, "agent") });
    await world.linked();
    id = await world.boot();
    await world.settled(id);
  }, TIMEOUT_MS);
  afterAll(async () => {
    await world?.close();
    disk?.close();
  });

  const journal = () => join(world.agentState, "journal.db");
  const WRECKS: Record<string, () => void> = {
    "is not a database": () => writeFileSync(journal(), "These are not the pages you are looking for. ".repeat(100)),
    "has a page that is not one": () => {
      const file = openSync(journal(), "r+");
      for (const page of [1, 2, 3]) writeSync(file, Buffer.alloc(4096, 0xa5), 0, 4096, page * 4096);
    },
  };

  it.each(Object.keys(WRECKS))("because its journal %s", { timeout: TIMEOUT_MS }, async (wreck) => {
    await world.stopAgent();
    const guests = world.guests();
    copyFileSync(journal(), `${journal()}.kept`);
    WRECKS[wreck]?.();
    const { code, said } = await attempt(world.agentState);
    expect(said).toEqual([
      expect.stringMatching(
        /^edgenova-agent: cannot open .*journal\.db: it is damaged: move it away, .* the guests run on$/,
      ),
    ]);
    expect(code).toBe(1);
    expect(world.guests()).toEqual(guests);
    copyFileSync(`${journal()}.kept`, journal());
    world.startAgent();
    await world.linked();
    expect(world.guests()).toEqual(guests);
  });

  it("because its disk is full", { timeout: TIMEOUT_MS }, async () => {
    await world.stopAgent();
    const guests = world.guests();
    disk.fill();
    const { code, said } = await attempt(world.agentState);
    expect(said).toEqual([expect.stringMatching(/^edgenova-agent: cannot open .*: the disk is full: make room/)]);
    expect(code).toBe(1);
    expect(world.guests()).toEqual(guests);
    disk.empty();
    world.startAgent();
    await world.linked();
    expect(world.guests()).toEqual(guests);
  });

  it("starts anew without the journal, as its message says, and the edge still rules the guest", {
    timeout: TIMEOUT_MS,
  }, async () => {
    await world.stopAgent();
    const guests = world.guests();
    for (const suffix of ["", "-wal", ".kept"]) world.discard(`journal.db${suffix}`);
    world.startAgent();
    await world.linked();
    expect(world.guests()).toEqual(guests);
    await heals(world);
    expect((await world.call("POST", `/servers/${id}/action`, { reboot: { type: "HARD" } })).status).toBe(202);
    expect(await world.settled(id)).toMatchObject({ status: "ACTIVE", power: 1 });
    await world.clear();
    await heals(world);
    expect(readFileSync(journal()).length).toBeGreaterThan(0);
  });
});
