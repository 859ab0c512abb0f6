/** An edge that is killed while it carries a disk from host to host. */

import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import type { MoveSide } from "../../functions/protocol/move.ts";
import { ROOT } from "../edge.ts";
import { KillableEdge } from "../killable-edge.ts";
import { moveTicket } from "../move-ticket.ts";
import { until } from "./agent-support.ts";
import { MoveHosts } from "./move-hosts.ts";

const MIB = 1024 * 1024;

it("a disk arrives though the edge is killed on the way", async () => {
  const edge = new KillableEdge();
  onTestFinished(() => edge.close());
  await edge.start();
  const disk = randomBytes(16 * MIB);
  const key = /^TOKEN_KEY=(.+)$/m.exec(readFileSync(join(ROOT, ".dev.vars"), "utf8"))?.[1];
  const ticket = (migration: string, side: MoveSide) => moveTicket(migration, side, key);
  const pair = await MoveHosts.start({ edge: { url: edge.url, ticket }, bytesPerSecond: 8 * MIB });
  writeFileSync(pair.disks("disk")[0]!.path, disk);
  const brought = pair.bring();
  const path = join(pair.destination.dir, "disk");
  await until(() => existsSync(path) && statSync(path).blocks * 512 > 2 * MIB, "some of it is there");
  await edge.kill();
  await edge.start();
  // Of what was under way nothing is lost but the blocks that had been asked for: two on each of four streams.
  expect((await brought).bytes).toBeLessThanOrEqual((16 + 8) * MIB);
  expect(readFileSync(path).equals(disk)).toBe(true);
});
