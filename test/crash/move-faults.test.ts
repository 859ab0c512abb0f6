/**
 * Moves of a real guest to a real host that cannot take it: its disk is full, before or amid the copying; its room was
 * given to another server between the choice and the claim; the source's disk gives other bytes than it gave before. The
 * server goes on where it is, nothing is left where it was to go, and it goes there once the trouble is over.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { demoDisk } from "../../agent/up/demo-disk.ts";
import { until } from "../edge.ts";
import { againIfItFails, Dice, ROUNDS, SEED, told } from "./dice.ts";
import { begin, ends, isWhole, SLOW, type Underway, WRITTEN, writer } from "./move-cases.ts";
import { CASE_MS, canMove, MovingWorld, other, processesOf, SETTLED_MS, START_MS } from "./moving-world.ts";

const MIB = 1 << 20;

/** An image of more than a guest's own writes: a guest of it needs as much room. */
function image(): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(2 * WRITTEN * MIB);
  bytes.set(demoDisk());
  return bytes;
}

describe.skipIf(!canMove)("a server whose way is barred", () => {
  const dice = new Dice(SEED);
  let world: MovingWorld;
  let small: string;
  beforeAll(async () => {
    world = await MovingWorld.start({ toml: SLOW, image: image(), smallDisks: true });
    small = await flavor("small", 256, 0);
  }, START_MS);
  afterEach(() => world.sweep(), START_MS);
  afterAll(() => world?.close(), START_MS);

  async function flavor(name: string, ram: number, disk: number): Promise<string> {
    const response = await world.call("POST", "/flavors", { flavor: { name, ram, vcpus: 1, disk } });
    return (await response.json()).flavor.id;
  }

  /** The server goes on at its source, for that reason, and all of it is there once nothing is in its way any more. */
  async function stays({ id, source }: Underway, why: RegExp, unbar = async () => {}): Promise<void> {
    const end = await world.settled(id);
    const reason = await world.reason(id);
    told(`it rests ${end?.status} on ${end?.host}, ${await world.moves(id)}: ${reason}`);
    expect(end).toMatchObject({ status: "ACTIVE", host: source });
    expect(reason).toMatch(why);
    await unbar();
    await world.isAllOf(id, end);
  }

  /** Now it goes. */
  async function goes(flow: "migration" | "live migration", server: Underway): Promise<void> {
    await begin(world, flow, server);
    const end = await ends(world, { flow, victim: "source" }, server, dice);
    expect((await world.moves(server.id))[0]).toMatch(/^(completed|confirmed|reverted)$/);
    await isWhole(world, server, end);
  }

  const FAULTS: Record<string, () => Promise<void>> = {
    async "the destination's disk is full"() {
      const server = await writer(world, { flavorRef: small });
      const destination = world.hosts[other(server.source)];
      await destination.limitDisk(Math.round(dice.next() * WRITTEN * MIB));
      await begin(world, "migration", server);
      await stays(server, /InsufficientFreeDisk/);
      await destination.limitDisk(null);
      await goes("migration", server);
    },

    async "the destination's disk fills as the disk is copied"() {
      const server = await writer(world, { flavorRef: small });
      const { id, source } = server;
      const destination = world.hosts[other(source)];
      const hold = world.wires[source].hold("call send_disks");
      await begin(world, "migration", server);
      await hold.reached;
      // It has found room for it.
      await until(async () => (await destination.folders()).includes(id), "the destination has made ready", SETTLED_MS);
      const left = Math.round((0.1 + 0.8 * dice.next()) * WRITTEN * MIB);
      told(`${left} bytes are left`);
      await destination.limitDisk(left);
      hold.release();
      await stays(server, /no room/);
      await destination.limitDisk(null);
      await goes("migration", server);
    },

    async "the destination's disk fills as the guest comes alive"() {
      const server = await writer(world, { flavorRef: small });
      const { source } = server;
      const destination = world.hosts[other(source)];
      const hold = world.wires[source].hold("call live_migration");
      await begin(world, "live migration", server);
      await hold.reached;
      const left = Math.round(dice.next() * 0.8 * WRITTEN * MIB);
      told(`${left} bytes are left`);
      await destination.limitDisk(left);
      const before = processesOf(server.id);
      await world.watched(server.id, async () => {
        hold.release();
        await stays(server, /./);
      });
      // It went on all the while.
      expect(processesOf(server.id)).toEqual(before);
      await destination.limitDisk(null);
      await goes("live migration", server);
    },

    async "its room is given away between the check and the claim"() {
      const server = await writer(world, { flavorRef: small });
      const to = other(server.source);
      const hold = world.wires[to].hold("call check_can_live_migrate_destination");
      await begin(world, "live migration", server);
      await hold.reached;
      const empty = await world.fill(to);
      hold.release();
      await stays(server, /lacking MEMORY_MB/, empty);
      await goes("live migration", server);
    },

    async "the destination is away as it is to be claimed"() {
      const server = await writer(world, { flavorRef: small });
      const wire = world.wires[other(server.source)];
      wire.cut("reset");
      await begin(world, "migration", server);
      await sleep(dice.next() * 3000);
      wire.mend();
      const end = await ends(world, { flow: "migration", victim: "way" }, server, dice);
      expect((await world.moves(server.id))[0]).toMatch(/^(confirmed|reverted)$/);
      await isWhole(world, server, end);
    },

    async "the source's disk gives other bytes than it gave"() {
      const server = await writer(world, { flavorRef: small });
      const { id, source } = server;
      await begin(world, "migration", server);
      await world.wires[source].passes((1 + 4 * dice.next()) * MIB);
      await world.hosts[source].spoilDisk(id, WRITTEN / 2);
      await stays(server, /came 3 times with other bytes than were announced/);
      // What it has now is what its disk gives.
      await goes("migration", { ...server, written: 0 });
    },
  };

  const shuffled = new Dice(SEED).shuffled(Object.keys(FAULTS)).slice(0, Math.ceil(ROUNDS / 2));
  it.each(process.env.CRASH_ONLY ? [process.env.CRASH_ONLY] : shuffled)("%s", { timeout: CASE_MS }, async (name) => {
    told(name);
    againIfItFails(`CRASH_ONLY="${name}"`);
    await FAULTS[name]?.();
  });
});
