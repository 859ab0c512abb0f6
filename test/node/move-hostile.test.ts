/** An end of a move that has its host's key, and says what it must not: the other loses the move, and nothing else. */

import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Duplex } from "node:stream";
import fc from "fast-check";
import { beforeEach, expect, it, onTestFinished } from "vitest";
import { Bandwidth } from "../../agent/move/bandwidth.ts";
import { disksMessage, endMessage, FROM_DESTINATION, zerosMessage } from "../../agent/move/disk-messages.ts";
import { Link } from "../../agent/move/link.ts";
import { take } from "../../agent/move/take.ts";
import type { MoveSide } from "../../functions/protocol/move.ts";
import { until } from "./agent-support.ts";
import { MoveEdge } from "./move-edge.ts";
import { MoveHosts, ticketsOf } from "./move-hosts.ts";

const MIB = 1024 * 1024;

let edge: MoveEdge;
let pair: MoveHosts;
beforeEach(async () => {
  edge = await new MoveEdge().start();
  onTestFinished(() => edge.stop());
  pair = await MoveHosts.start({ edge: ticketsOf(edge) });
});

/** A link of the test's own, with that side's key. */
function hostile(side: MoveSide): Link {
  const { peer, signer } = pair[side];
  const link = new Link({
    side,
    peer,
    signer,
    edge: edge.url,
    listener: null,
    bandwidth: new Bandwidth(0),
    log: () => undefined,
  });
  onTestFinished(() => link.close());
  return link;
}

const patient = () => AbortSignal.timeout(10_000);

/** Speaks as a source to a destination that waits for disks; resolves when that has ended the try. */
async function say(link: Link, ...messages: Uint8Array[]): Promise<void> {
  const main = await link.open(`disks ${randomBytes(8).toString("hex")}`, patient());
  expect((await take(main, 1, patient()))[0]).toBe(FROM_DESTINATION.WANT);
  for (const message of messages) main.write(message);
  main.resume();
  await until(() => main.destroyed || main.readableEnded, "the try is over");
  main.destroy();
}

/** Announces a disk of that name, without the check that the agent makes. */
const named = (name: string, size = MIB) => disksMessage([{ name, size }]);

it("names no file outside of the guest's folder, and announces no more than there can be", async () => {
  const received = pair.receive();
  received.catch(() => undefined);
  const link = hostile("source");
  for (const name of ["../disk", "..", ".", "", "/tmp/x", "a/b", ".hidden", "A", "\n", "x".repeat(65)]) {
    await say(link, named(name));
  }
  await say(link, disksMessage([1, 2].map(() => ({ name: "disk", size: 1 }))));
  expect(readdirSync(pair.destination.dir)).toEqual([]);
  expect(readdirSync(dirname(pair.destination.dir))).toEqual(["destination"]);
  // After so many tries that brought nothing it is given up.
  await expect(received).rejects.toMatchObject({ code: "MigrationError" });
});

it.each<[string, Buffer[]]>([
  ["more zeros than the disk has", [named("disk"), zerosMessage(2)]],
  ["fewer blocks than the disk has", [named("disk"), endMessage(randomBytes(32))]],
  ["another digest", [named("disk"), zerosMessage(1), endMessage(randomBytes(32))]],
  ["no disks, but blocks", [zerosMessage(1)]],
  ["a type that there is not", [named("disk"), Buffer.from([99])]],
])("that says %s has not brought the disks", async (_, messages) => {
  const received = pair.receive();
  const settled = received.then(
    () => "done",
    () => "failed",
  );
  const link = hostile("source");
  await say(link, ...messages);
  pair.destination.moves.stop();
  expect(await settled).toBe("failed");
});

it("says any bytes at all, and the honest source that comes after it is served", async () => {
  const received = pair.receive();
  const link = hostile("source");
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 300 }), async (bytes) => {
      const main = await link.open("disks 00", patient());
      main.write(Buffer.concat([named("junk"), bytes]));
      main.end();
      main.resume();
      await until(() => main.destroyed || main.readableEnded, "the try is over");
    }),
    { numRuns: 9 },
  );
  link.close();
  const [disk] = pair.disks("disk");
  writeFileSync(disk!.path, randomBytes(MIB));
  await Promise.all([received, pair.send()]);
  expect(existsSync(join(pair.destination.dir, "disk"))).toBe(true);
});

it("asks for blocks that there are not, and gets none", async () => {
  const [disk] = pair.disks("disk");
  writeFileSync(disk!.path, randomBytes(2 * MIB));
  const sent = pair.send();
  sent.catch(() => undefined);
  const link = hostile("destination");
  const streams: Duplex[] = [];
  const asked = Promise.withResolvers<void>();
  let next = 0;
  const asks = [
    Buffer.from([0, 1, 0, 0, 0, 0]),
    Buffer.from([0, 0, 0, 0, 0, 2]),
    Buffer.from([255, 255, 255, 255, 255, 255]),
  ];
  link.onStream((kind, stream) => {
    streams.push(stream);
    if (kind.startsWith("disks")) return void stream.write(Buffer.from([FROM_DESTINATION.WANT]));
    const ask = asks[next++];
    if (ask === undefined) return asked.resolve();
    stream.write(ask);
  });
  await asked.promise;
  pair.source.moves.stop();
  await expect(sent).rejects.toThrow();
  expect(streams.every((stream) => stream.readableLength < 1000)).toBe(true);
});

it("says on the first stream what is none of its messages, and is hung up on", async () => {
  const sent = pair.send();
  sent.catch(() => undefined);
  const link = hostile("destination");
  const hungUp = () => pair.source.logged.events().filter((event) => event === "move.unlinked").length;
  const open = `${JSON.stringify({ t: "open", stream: 99, nonce: "0".repeat(16), kind: "x" })}\n`;
  for (const [times, rubbish] of ["{}\n", "x".repeat(5000), open, "\n", "\u0000\n"].entries()) {
    const { stream, control } = await link.whenUp(patient());
    stream.write(rubbish);
    await until(() => hungUp() === times + 1, "it is hung up on");
    await control.ended;
  }
});
