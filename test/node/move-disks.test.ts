/** Disks between two hosts, through an edge of the test's own. */
import { createHash, randomBytes } from "node:crypto";
import { closeSync, ftruncateSync, openSync, readFileSync, statSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { MoveEdge } from "./move-edge.ts";
import { MoveHosts, ticketsOf } from "./move-hosts.ts";

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
});
