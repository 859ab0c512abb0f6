/** Disks between two hosts through the real edge. */
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startTestEdge, type TestEdge } from "../edge.ts";
import { freePort } from "../free-port.ts";
import { moveTicket } from "../move-ticket.ts";
import { type HostsOptions, MoveHosts } from "./move-hosts.ts";

const MIB = 1024 * 1024;

let edge: TestEdge;
let pipe: HostsOptions["edge"];
beforeAll(async () => {
  edge = await startTestEdge();
  pipe = { url: edge.url, ticket: moveTicket };
});
afterAll(() => edge.close());

async function withDisk(bytes: Buffer, options: Partial<HostsOptions> = {}): Promise<MoveHosts> {
  const pair = await MoveHosts.start({ edge: pipe, ...options });
  const [disk] = pair.disks("disk");
  writeFileSync(disk!.path, bytes);
  return pair;
}

it("a disk arrives whole, several at a time", async () => {
  const disks = [1, 2, 3].map(() => randomBytes(9 * MIB + 77));
  const pairs = await Promise.all(disks.map((disk) => withDisk(disk)));
  await Promise.all(pairs.map((pair) => pair.bring()));
  for (const [at, pair] of pairs.entries()) {
    expect(readFileSync(join(pair.destination.dir, "disk")).equals(disks[at]!)).toBe(true);
  }
});

it("a disk goes through the edge where the straight way leads to nobody", async () => {
  const disk = randomBytes(2 * MIB);
  const pair = await withDisk(disk, { inbound: { address: "127.0.0.1", port: 9 } });
  await pair.bring();
  expect(readFileSync(join(pair.destination.dir, "disk")).equals(disk)).toBe(true);
});

it("an end with a ticket of another move, or of the other side, gets nowhere", async () => {
  const pair = await withDisk(randomBytes(MIB), { nobodyMs: 1000 });
  pair.source.peer.ticket = await pipe.ticket(crypto.randomUUID(), "source");
  await expect(pair.send()).rejects.toMatchObject({ code: "MigrationError", message: expect.stringContaining("401") });
  // Of the same side, the two take each other's place, and never meet.
  pair.source.peer.ticket = await pipe.ticket(pair.source.peer.migration, "destination");
  const both = await Promise.allSettled([pair.send(), pair.receive()]);
  for (const end of both) expect(end).toMatchObject({ status: "rejected", reason: { code: "MigrationError" } });
});

it("an agent listens where its file says, as long as it runs", async () => {
  const port = await freePort();
  const toml = `migration_inbound_addr = "127.0.0.1"\nmigration_inbound_port = ${port}`;
  const { agent } = await edge.agent("listens", { toml });
  const listens = () =>
    new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => resolve(true)).once("error", () => resolve(false));
      socket.once("connect", () => socket.destroy());
    });
  expect(await listens()).toBe(true);
  await agent.stop();
  expect(await listens()).toBe(false);
});
