/** Disks between two hosts, through an edge of the test's own. */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  closeSync,
  existsSync,
  ftruncateSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { join } from "node:path";
import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { DriverError } from "../../agent/drivers/driver.ts";
import { freePort } from "../free-port.ts";
import { SERVER, until } from "./agent-support.ts";
import { MoveEdge } from "./move-edge.ts";
import { MoveHosts, newSigner, ticketsOf } from "./move-hosts.ts";

const MIB = 1024 * 1024;

let edge: MoveEdge;
beforeEach(async () => {
  edge = await new MoveEdge().start();
  onTestFinished(() => edge.stop());
});

const hosts = (options = {}) => MoveHosts.start({ edge: ticketsOf(edge), ...options });
const digest = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex");
const allocated = (path: string) => statSync(path).blocks * 512;

/** A file of holes, with bytes at some places. */
function sparse(path: string, size: number, written: Record<number, Buffer>): void {
  const file = openSync(path, "w");
  ftruncateSync(file, size);
  for (const [at, bytes] of Object.entries(written)) writeSync(file, bytes, 0, bytes.length, Number(at));
  closeSync(file);
}

const same = (pair: MoveHosts, name: string) =>
  expect(digest(join(pair.destination.dir, name))).toBe(digest(join(pair.source.dir, name)));

/** A pair whose guest has one disk of so many MiB that are all written. */
async function withDisk(mib: number, options = {}): Promise<MoveHosts> {
  const pair = await hosts(options);
  const [disk] = pair.disks("disk");
  writeFileSync(disk!.path, randomBytes(mib * MIB));
  return pair;
}

describe("disks", () => {
  it("arrive as they are, whatever their sizes, and holes stay holes", async () => {
    const pair = await hosts();
    const [root, , empty] = pair.disks("disk", "disk.config", "empty");
    sparse(root!.path, 300 * MIB + 1234, { [5 * MIB + 7]: randomBytes(3 * MIB), [300 * MIB]: randomBytes(1234) });
    writeFileSync(join(pair.source.dir, "disk.config"), randomBytes(2 * MIB + 1));
    writeFileSync(empty!.path, "");
    const { bytes } = await pair.bring();
    for (const name of ["disk", "disk.config", "empty"]) same(pair, name);
    expect(bytes).toBe(4 * MIB + 1234 + 2 * MIB + 1);
    expect(allocated(join(pair.destination.dir, "disk"))).toBeLessThan(6 * MIB);
  });

  it("cannot be read on their way", async () => {
    edge.keep = true;
    const pair = await hosts();
    const [disk] = pair.disks("disk");
    writeFileSync(disk!.path, "a secret of the guest's. ".repeat(10_000));
    await pair.bring();
    same(pair, "disk");
    const wire = Buffer.concat(edge.seen);
    expect(wire.length).toBeGreaterThan(250_000);
    expect(wire.includes("secret of the guest")).toBe(false);
  });

  it("that are here but for what changed bring that alone, and what should be zeros becomes so", async () => {
    const pair = await withDisk(6);
    const path = join(pair.destination.dir, "disk");
    const had = Buffer.concat([readFileSync(join(pair.source.dir, "disk")), randomBytes(MIB)]);
    had.fill(0, 2 * MIB, 2 * MIB + 10);
    writeFileSync(path, had);
    const disk = openSync(join(pair.source.dir, "disk"), "r+");
    writeSync(disk, Buffer.alloc(MIB), 0, MIB, 4 * MIB);
    closeSync(disk);
    expect((await pair.bring()).bytes).toBe(MIB);
    same(pair, "disk");
  });

  it.each(Array.from({ length: 6 }, (_, seed) => seed))(
    "that are cut off anywhere go on with what is lacking (%i)",
    async (seed) => {
      const pair = await withDisk(12);
      // Anywhere from the first handshake to the last block.
      edge.cutAfter = Math.floor(((seed + Math.random()) / 6) * 12 * MIB);
      const { bytes } = await pair.bring();
      same(pair, "disk");
      // Blocks under way at the cut are asked for again: two on each of four streams.
      expect(bytes).toBeLessThanOrEqual((12 + 8) * MIB);
      expect(edge.cutAfter).toBe(Number.POSITIVE_INFINITY);
    },
  );

  it("of an end that was stopped in the middle go on when it is asked again", async () => {
    for (const side of ["source", "destination"] as const) {
      const pair = await withDisk(12);
      edge.cutAfter = Number.POSITIVE_INFINITY;
      edge.bytes = 0;
      const ends = { source: pair.send(), destination: pair.receive() };
      ends[side].catch(() => undefined);
      await until(() => edge.bytes > 4 * MIB, "some of it has gone");
      pair[side].moves.forget(SERVER);
      await expect(ends[side]).rejects.toThrow();
      const again = side === "source" ? pair.send() : pair.receive();
      await Promise.all([again, ends[side === "source" ? "destination" : "source"]]);
      same(pair, "disk");
    }
  });

  it("that are there are told of again to an end that was killed before it could keep that", async () => {
    const pair = await withDisk(3);
    await pair.bring();
    expect(await pair.receive()).toEqual({ bytes: 0 });
    expect(await pair.send()).toEqual({ bytes: 0 });
  });

  it("whose bytes are changed on the way do not arrive wrong", async () => {
    const pair = await withDisk(4);
    let changed = 0;
    edge.tamper = (bytes) => {
      // Of the blocks, as the handshakes have smaller messages.
      if (bytes.length < 10_000 || changed === 3) return bytes;
      changed += 1;
      const copy = Buffer.from(bytes);
      copy[5000]! ^= 1;
      return copy;
    };
    await pair.bring();
    expect(changed).toBe(3);
    same(pair, "disk");
  });

  it("that change while they are read are refused in the end", async () => {
    const pair = await withDisk(1);
    const path = join(pair.source.dir, "disk");
    // Once it has been announced, it is another.
    const file = openSync(path, "r+");
    onTestFinished(() => closeSync(file));
    const ends = Promise.allSettled([pair.send(), pair.receive()]);
    const changing = setInterval(() => writeSync(file, randomBytes(16), 0, 16, 0), 0);
    const [sent, received] = await ends.finally(() => clearInterval(changing));
    expect(received).toMatchObject({ status: "rejected", reason: { code: "MigrationError" } });
    expect(String((received as PromiseRejectedResult).reason.message)).toMatch(/^block 0 of disk came 3 times/);
    expect(sent).toMatchObject({ status: "rejected", reason: { code: "MigrationError" } });
  });

  it("that cannot be written, or read, are a failure of both ends at once, with the reason of the one", async () => {
    const pair = await withDisk(3);
    pair.destination.moving.prepareDisks = async () => () => "/dev/full/disk";
    const [sent, received] = await Promise.allSettled([pair.send(), pair.receive()]);
    expect(received).toMatchObject({ status: "rejected", reason: { name: "FileFailure" } });
    expect(String((sent as PromiseRejectedResult).reason.message)).toMatch(/could not take the disks: it failed/);
    const other = await hosts();
    other.disks("gone");
    const both = await Promise.allSettled([other.send(), other.receive()]);
    expect(both[0]).toMatchObject({ status: "rejected", reason: { name: "FileFailure" } });
    expect(both[1]).toMatchObject({ status: "rejected", reason: { code: "MigrationError" } });
  });
});

describe("disks that are aside where the destination has them", () => {
  async function here(): Promise<MoveHosts> {
    const pair = await hosts();
    const disks = pair.disks("disk", "disk.config");
    sparse(disks[0]!.path, 300 * MIB, { [5 * MIB]: randomBytes(MIB) });
    writeFileSync(disks[1]!.path, randomBytes(MIB));
    pair.destination.moving.disksOf = async () => disks;
    return pair;
  }
  const part = (pair: MoveHosts) => join(pair.destination.dir, "disk.part");

  it("are copied, holes are none, and nothing travels; what was half copied is begun anew, and what is whole is kept", async () => {
    const pair = await here();
    writeFileSync(part(pair), randomBytes(2 * MIB));
    expect(await pair.receive()).toEqual({ bytes: 0 });
    for (const name of ["disk", "disk.config"]) same(pair, name);
    expect(allocated(join(pair.destination.dir, "disk"))).toBeLessThan(4 * MIB);
    expect(existsSync(part(pair))).toBe(false);
    const { mtimeMs } = statSync(join(pair.destination.dir, "disk"));
    await pair.receive();
    expect(statSync(join(pair.destination.dir, "disk")).mtimeMs).toBe(mtimeMs);
    expect(pair.destination.logged.events()).toEqual([]);
  });

  it("are not copied to the end when the call is given up, or there is no room", async () => {
    const pair = await here();
    const over = new AbortController();
    const given = pair.receive(over.signal);
    over.abort(new DriverError("BuildAbortException", "given up"));
    await expect(given).rejects.toMatchObject({ code: "BuildAbortException" });
    expect(existsSync(join(pair.destination.dir, "disk"))).toBe(false);
    rmSync(part(pair), { force: true });
    symlinkSync("/dev/full", part(pair));
    await expect(pair.receive()).rejects.toMatchObject({ code: "InsufficientFreeDisk" });
  });

  it("are missed at once by a host that is both ends, and by a source that has put none aside", async () => {
    const pair = await hosts();
    const { destination, source } = pair;
    destination.peer.public_key = destination.signer.publicKey;
    await expect(pair.receive()).rejects.toMatchObject({ code: "InstanceInvalidState" });
    source.moving.disksOf = async () => null;
    await expect(pair.send()).rejects.toMatchObject({ code: "InstanceInvalidState" });
  });
});

describe("a destination that cannot take disks", () => {
  it("says so to a source that comes later, which does not wait for it", async () => {
    const pair = await withDisk(1);
    pair.destination.moving.prepareDisks = async () => {
      throw new DriverError("InsufficientFreeDisk", "the host has no room for the guest's disks");
    };
    await expect(pair.receive()).rejects.toMatchObject({ code: "InsufficientFreeDisk" });
    const why = "the other host could not take the disks: the host has no room for the guest's disks";
    await expect(pair.send()).rejects.toMatchObject({ code: "MigrationError", message: why });
  });

  it("says so again to a source that did not hear it", async () => {
    const pair = await withDisk(3);
    pair.destination.moving.prepareDisks = async () => () => "/dev/full/disk";
    const lost = pair.send();
    lost.catch(() => undefined);
    await expect(pair.receive()).rejects.toMatchObject({ name: "FileFailure" });
    // As one that was killed, it asks anew.
    await expect(pair.send()).rejects.toThrow(/could not take the disks: it failed/);
  });

  it("lets go at once when the server is being deleted", async () => {
    const pair = await withDisk(1, { nobodyMs: 400 });
    const abort = new AbortController();
    const receiving = pair.receive(abort.signal);
    abort.abort(new Error("deleted"));
    await expect(receiving).rejects.toThrow("deleted");
    await expect(pair.send()).rejects.toMatchObject({ message: "host destination did not come within 0 s" });
  });
});

describe("two hosts", () => {
  it("find each other whichever comes first", async () => {
    for (const early of ["send", "receive"] as const) {
      const pair = await withDisk(1);
      const before = edge.dials;
      const first = pair[early]();
      await until(() => edge.dials > before, "the first has dialled");
      await Promise.all([first, early === "send" ? pair.receive() : pair.send()]);
      same(pair, "disk");
    }
  });

  it("of which one does not come are told so", async () => {
    const pair = await withDisk(1, { nobodyMs: 400 });
    const alone = { code: "MigrationError", message: "host destination did not come within 0 s" };
    await expect(pair.send()).rejects.toMatchObject(alone);
    await expect(pair.receive()).rejects.toMatchObject({ code: "MigrationError" });
  });

  it("that the edge does not let in stop asking", async () => {
    const pair = await withDisk(1);
    pair.source.peer.ticket = "of another move";
    await expect(pair.send()).rejects.toMatchObject({ code: "MigrationError" });
    expect(edge.dials).toBe(0);
  });

  it("of which one has not its host's key move nothing", async () => {
    const pair = await withDisk(1, { nobodyMs: 1500 });
    pair.destination.peer.public_key = newSigner().publicKey;
    const both = await Promise.allSettled([pair.send(), pair.receive()]);
    for (const end of both) expect(end).toMatchObject({ status: "rejected", reason: { code: "MigrationError" } });
    expect(existsSync(join(pair.destination.dir, "disk"))).toBe(false);
  });

  it("stop at once when the server is being deleted", async () => {
    const pair = await withDisk(30, { bytesPerSecond: MIB });
    const abort = new AbortController();
    const ends = [pair.send(abort.signal), pair.receive(abort.signal)];
    const settled = Promise.allSettled(ends);
    await until(() => edge.bytes > MIB, "some of it has gone");
    const reason = new Error("deleted");
    abort.abort(reason);
    for (const end of await settled) expect(end).toMatchObject({ status: "rejected", reason });
  });
});

describe("the straight way", () => {
  it("is taken where there is one, and nothing goes through the edge", async () => {
    const pair = await withDisk(5, { direct: true });
    await pair.bring();
    same(pair, "disk");
    expect(edge.bytes).toBe(0);
  });

  it("is taken also when the source comes first", async () => {
    const pair = await withDisk(2, { direct: true });
    const sent = pair.send();
    await until(() => edge.dials > 0, "it has tried and waits in the pipe");
    await Promise.all([sent, pair.receive()]);
    expect(pair.source.logged.lines).toContainEqual(expect.objectContaining({ event: "move.linked", way: "direct" }));
  });

  it("is given up for the edge when nobody, or a stranger, is at its end", async () => {
    const port = await freePort();
    const silent = createServer(() => undefined).listen(0, "127.0.0.1");
    onTestFinished(() => void silent.close());
    await once(silent, "listening");
    const ports = [port, (silent.address() as AddressInfo).port];
    for (const inbound of ports.map((port) => ({ address: "127.0.0.1", port }))) {
      edge.bytes = 0;
      const pair = await withDisk(1, { inbound });
      await pair.bring();
      same(pair, "disk");
      expect(edge.bytes).toBeGreaterThan(MIB);
    }
  });

  it("is not in the way of a stranger, who is let go", async () => {
    const pair = await withDisk(12, { direct: true, bytesPerSecond: 8 * MIB });
    const ends = Promise.all([pair.send(), pair.receive()]);
    await until(() => pair.destination.logged.events().includes("move.linked"), "it has begun");
    const stranger = connect(pair.source.peer.inbound!.port, "127.0.0.1");
    onTestFinished(() => void stranger.destroy());
    stranger.on("error", () => undefined).write(randomBytes(500));
    await once(stranger, "close");
    await ends;
    same(pair, "disk");
    expect(pair.destination.logged.events()).toContain("move.stranger");
  });
});
