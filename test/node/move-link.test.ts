/** A move's link: streams that either end opens, through an edge of the test's own. */
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { Bandwidth } from "../../agent/move/bandwidth.ts";
import { Link } from "../../agent/move/link.ts";
import { take } from "../../agent/move/take.ts";
import type { MovePeer, MoveSide } from "../../functions/protocol/move.ts";
import { recordingLog, until } from "./agent-support.ts";
import { MoveEdge } from "./move-edge.ts";
import { newSigner } from "./move-hosts.ts";

const MIB = 1024 * 1024;

let edge: MoveEdge;
beforeEach(async () => {
  edge = await new MoveEdge().start();
  onTestFinished(() => edge.stop());
});

type Taken = { kind: string; stream: Duplex };

function links() {
  const migration = crypto.randomUUID();
  const signers = { source: newSigner(), destination: newSigner() };
  const make = (side: MoveSide, other: MoveSide) => {
    edge.tickets.set(side, side);
    const peer: MovePeer = {
      migration,
      host: other,
      public_key: signers[other].publicKey,
      ticket: side,
      inbound: null,
    };
    const logged = recordingLog();
    const link = new Link({
      side,
      peer,
      signer: signers[side],
      edge: edge.url,
      listener: null,
      bandwidth: new Bandwidth(0),
      log: logged.log,
    });
    onTestFinished(() => link.close());
    const taken: Taken[] = [];
    link.onStream((kind, stream) => void taken.push({ kind, stream }));
    return { link, taken, logged };
  };
  return { source: make("source", "destination"), destination: make("destination", "source") };
}

const patient = () => AbortSignal.timeout(10_000);

describe("a move's link", () => {
  it("has streams that either end opens, at the same time, each with its kind", async () => {
    const { source, destination } = links();
    const opened = await Promise.all([
      ...[1, 2, 3].map((at) => source.link.open(`from source ${at}`, patient())),
      ...[1, 2, 3].map((at) => destination.link.open(`from destination ${at}`, patient())),
    ]);
    await until(() => source.taken.length === 3 && destination.taken.length === 3, "all have come");
    expect(destination.taken.map(({ kind }) => kind).sort()).toEqual([1, 2, 3].map((at) => `from source ${at}`));
    for (const [at, stream] of opened.entries()) stream.write(String(at));
    for (const { kind, stream } of [...destination.taken, ...source.taken]) {
      const [, side, at] = /^from (\w+) (\d)$/.exec(kind)!;
      expect((await take(stream, 1)).toString()).toBe(String(Number(at) - 1 + (side === "source" ? 0 : 3)));
    }
  });

  it("ends one direction of a stream without the other", async () => {
    const { source, destination } = links();
    const stream = await source.link.open("one way", patient());
    await until(() => destination.taken.length === 1, "it has come");
    const other = destination.taken[0]!.stream;
    stream.end("asked");
    expect((await take(other, 5)).toString()).toBe("asked");
    await expect(take(other, 1)).rejects.toThrow("cut off");
    other.end("answered");
    expect((await take(stream, 8)).toString()).toBe("answered");
    stream.resume();
    if (!stream.closed) await once(stream, "close");
  });

  it("uses the numbers of streams that have ended again, and has no more than those", async () => {
    const { source } = links();
    for (let round = 0; round < 20; round++) {
      const stream = await source.link.open("short", patient());
      stream.destroy();
      await once(stream, "close");
    }
    for (let at = 0; at < 8; at++) await source.link.open("kept", patient());
    await expect(source.link.open("one too many", patient())).rejects.toThrow("no more streams");
  });

  it("takes no more than its reader does", async () => {
    const { source, destination } = links();
    const stream = await source.link.open("much", patient());
    await until(() => destination.taken.length === 1, "it has come");
    let written = 0;
    const chunk = Buffer.alloc(64 * 1024, 1);
    // The reader reads nothing: the writer is held before it has written much.
    while (written < 64 * MIB) {
      written += chunk.length;
      if (!stream.write(chunk) && !(await drains(stream))) break;
    }
    expect(written).toBeLessThan(32 * MIB);
    const other = destination.taken[0]!.stream;
    stream.end();
    let arrived = 0;
    for await (const bytes of other) arrived += (bytes as Buffer).length;
    expect(arrived).toBe(written);
  });

  it("comes up again after a cut, with what was open at an end", async () => {
    const { source, destination } = links();
    const before = await source.link.open("before", patient());
    await until(() => destination.taken.length === 1, "it has come");
    edge.cut();
    await until(() => before.destroyed && destination.taken[0]!.stream.destroyed, "both ends of it have ended");
    const after = await destination.link.open("after", patient());
    await until(() => source.taken.length === 1, "it has come");
    after.write("still here");
    expect((await take(source.taken[0]!.stream, 10)).toString()).toBe("still here");
  });

  it("ends its streams, and opens none, once it is closed", async () => {
    const { source, destination } = links();
    const stream = await source.link.open("x", patient());
    await until(() => destination.taken.length === 1, "it has come");
    source.link.close();
    await until(() => stream.destroyed && destination.taken[0]!.stream.destroyed, "both ends of it have ended");
    await expect(source.link.open("y", patient())).rejects.toMatchObject({ code: "MigrationError" });
  });
});

/** Whether more can be written within a time in which a reader would have read. */
function drains(stream: Duplex): Promise<boolean> {
  return Promise.race([
    once(stream, "drain").then(() => true),
    new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 500)),
  ]);
}
