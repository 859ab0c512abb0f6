/** The calls of a move: what they are to the agent's other parts, and the links that drivers get. */

import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { Journal } from "../../agent/journal.ts";
import { Bandwidth } from "../../agent/move/bandwidth.ts";
import { HostMoves } from "../../agent/move/host-moves.ts";
import type { MoveLink } from "../../agent/move/moves.ts";
import { take } from "../../agent/move/take.ts";
import { Progress } from "../../agent/progress.ts";
import type { FromAgent } from "../../functions/protocol/frames.ts";
import { LIVE_MIGRATION } from "../live-migration-options.ts";
import {
  call,
  callsOf,
  gate,
  OTHER,
  recordingLog,
  SERVER,
  SIGNER,
  SPEC,
  temporaryDir,
  until,
} from "./agent-support.ts";
import { TinyDriver } from "./agent-tiny-driver.ts";
import { MoveEdge } from "./move-edge.ts";
import { type MoveHost, MoveHosts, ticketsOf } from "./move-hosts.ts";

const MIB = 1024 * 1024;
const DATA = { cpu: "", machine: "q35", hypervisor_version: 1, disks: [] };

let edge: MoveEdge;
let pair: MoveHosts;
beforeEach(async () => {
  edge = await new MoveEdge().start();
  onTestFinished(() => edge.stop());
  pair = await MoveHosts.start({ edge: ticketsOf(edge), bytesPerSecond: 8 * MIB });
});

/** The calls of an agent on this host, and what it tells of them. */
function agentOf({ moves }: Pick<MoveHost, "moves">, maxBuilds = 1) {
  const journal = new Journal(join(temporaryDir(), "journal.db"), SIGNER);
  onTestFinished(() => journal.close());
  const sent: FromAgent[] = [];
  const progress = new Progress((frame) => void sent.push(frame));
  const driver = new TinyDriver();
  return { calls: callsOf({ driver, journal, log: recordingLog().log, moves, maxBuilds, progress }), sent, driver };
}

const receive = (spec = SPEC) => ({ params: { peer: pair.destination.peer, spec } });
const live = () => ({ params: { peer: pair.source.peer, options: LIVE_MIGRATION, block_migration: true } });

describe("a move's calls", () => {
  it("bring the disks, and are told of to the edge on both sides", async () => {
    const [disk] = pair.disks("disk");
    writeFileSync(disk!.path, randomBytes(20 * MIB));
    const [source, destination] = [agentOf(pair.source), agentOf(pair.destination)];
    const outcomes = await Promise.all([
      source.calls.handle(call("s", "send_disks", { params: { peer: pair.source.peer } })),
      destination.calls.handle(call("d", "receive_disks", receive())),
    ]);
    expect(outcomes).toEqual([1, 2].map(() => ({ ok: true, value: { bytes: 20 * MIB } })));
    for (const { sent } of [source, destination]) {
      expect(sent[0]).toMatchObject({ t: "progress", stage: "disk", of: 20 * MIB });
    }
    // They stay for whoever asks again, until the guest is made of what has come.
    const unlinked = ({ logged }: MoveHost) => logged.events().includes("move.unlinked");
    expect([pair.source, pair.destination].map(unlinked)).toEqual([false, false]);
    Object.assign(destination.driver, { moving: { finishMigration: async () => undefined } });
    await destination.calls.handle(call("f", "finish_migration", { params: { spec: SPEC, start: true } }));
    await until(() => [pair.source, pair.destination].every(unlinked), "both ends have let go");
  });

  it("end when the server is dismissed, and need no build's slot", async () => {
    const { calls, driver } = agentOf(pair.destination);
    const held = gate();
    driver.building = () => held.opened;
    const building = calls.handle(call("b", "spawn", { server: OTHER }));
    const received = calls.handle(call("d", "receive_disks", receive()));
    await until(() => edge.dials > 0, "it waits for the source, though the only slot is taken");
    const destroyed = calls.handle(call("x", "destroy", { generation: 2 }));
    expect(await received).toMatchObject({ ok: false, error: { code: "BuildAbortException" } });
    expect(await destroyed).toMatchObject({ ok: true });
    held.open();
    expect(await building).toMatchObject({ ok: true });
  });

  it("are not for a hypervisor whose guests stay where they are", async () => {
    const identity = { edge: edge.url, signer: SIGNER };
    const bandwidth = new Bandwidth(0);
    const moves = new HostMoves({ driver: {}, identity, bandwidth, listener: null, log: () => undefined });
    const { calls } = agentOf({ moves });
    const refused = { ok: false, error: { code: "NotSupported" } };
    expect(await calls.handle(call("1", "send_disks", { params: { peer: pair.source.peer } }))).toMatchObject(refused);
    expect(await calls.handle(call("2", "receive_disks", receive()))).toMatchObject(refused);
    expect(await calls.handle(call("3", "live_migration", live()))).toMatchObject(refused);
  });
});

describe("a live migration", () => {
  const pre = () => ({ params: { peer: pair.destination.peer, spec: SPEC, data: DATA, block_migration: true } });

  it("has a link between the drivers, from the making ready until the guest has come, and tells how far it is", async () => {
    const heard: string[] = [];
    let kept: MoveLink | undefined;
    pair.destination.moving.preLiveMigration = async (_uuid, _order, link) => {
      kept = link;
      link.onStream(async (kind, stream) => {
        heard.push(kind, (await take(stream, 6)).toString());
        stream.end("thanks");
      });
    };
    pair.destination.moving.postLiveMigration = async () => undefined;
    const step = gate();
    pair.source.moving.liveMigration = async (_uuid, _order, link, { progress }) => {
      const stream = await link.open("migration", new AbortController().signal);
      stream.write("memory");
      heard.push((await take(stream, 6)).toString());
      const disk = { disk_total: 0, disk_processed: 0, disk_remaining: 0 };
      progress({ memory_total: 100, memory_processed: 40, memory_remaining: 60, ...disk });
      await step.opened;
      return { aborted: false };
    };
    const [source, destination] = [agentOf(pair.source), agentOf(pair.destination)];
    expect(await destination.calls.handle(call("p", "pre_live_migration", pre()))).toMatchObject({ ok: true });
    const moved = source.calls.handle(call("l", "live_migration", live()));
    await until(() => source.sent.length > 0, "the edge is told");
    expect(source.sent[0]).toMatchObject({ stage: "memory", percent: 40, memory_total: 100, memory_remaining: 60 });
    step.open();
    expect(await moved).toEqual({ ok: true, value: { aborted: false } });
    expect(heard).toEqual(["migration", "memory", "thanks"]);
    pair.destination.moves.forget(SERVER);
    await expect(kept?.open("x", AbortSignal.timeout(5000))).rejects.toMatchObject({ code: "MigrationError" });
  });

  it("is aborted when the server is being deleted", async () => {
    const [begun, aborted] = [gate(), gate()];
    pair.source.moving.liveMigration = async () => {
      begun.open();
      await aborted.opened;
      return { aborted: true };
    };
    pair.source.moving.abortLiveMigration = async () => aborted.open();
    const { calls } = agentOf(pair.source);
    const moved = calls.handle(call("l", "live_migration", live()));
    await begun.opened;
    const destroyed = calls.handle(call("x", "destroy", { generation: 2 }));
    expect(await moved).toEqual({ ok: true, value: { aborted: true } });
    expect(await destroyed).toMatchObject({ ok: true });
  });

  it("that cannot be made ready leaves no link", async () => {
    pair.destination.moving.preLiveMigration = async () => {
      await until(() => edge.open > 0, "the link is being made");
      throw new Error("no");
    };
    const { calls } = agentOf(pair.destination);
    expect(await calls.handle(call("p", "pre_live_migration", pre()))).toMatchObject({ ok: false });
    await until(() => edge.open === 0, "nobody waits in the pipe");
  });
});
