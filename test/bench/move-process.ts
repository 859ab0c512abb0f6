/** One host of a move, in a process of its own: the agent's moves, with a folder of disks for a driver. */
import { createPrivateKey } from "node:crypto";
import { join } from "node:path";
import type { Moving } from "../../agent/drivers/driver.ts";
import { signerOf } from "../../agent/identity.ts";
import { Bandwidth } from "../../agent/move/bandwidth.ts";
import { DirectListener } from "../../agent/move/direct.ts";
import { HostMoves } from "../../agent/move/host-moves.ts";
import type { GuestSpec } from "../../functions/protocol/methods.ts";
import type { MovePeer, MoveSide } from "../../functions/protocol/move.ts";
import { childOptions, serveParent } from "./child.ts";
import { countEdgeBytes } from "./edge-bytes.ts";

export type BenchMoveOptions = {
  side: MoveSide;
  edge: string;
  /** PEM. */
  key: string;
  /** Its folder has the file `disk`, or is to have it. */
  dir: string;
  peer: MovePeer;
};
/** `edge_bytes`: that went between this host and the edge, both ways. */
export type BenchMoved = { edge_bytes: number } | { failed: string } | null;

const SERVER = "11111111-1111-4111-8111-111111111111";

const { side, edge, key, dir, peer } = childOptions<BenchMoveOptions>();
const edgeBytes = countEdgeBytes(edge);

const { inbound } = peer;
const listens = side === "destination" && inbound !== null;
const moving: Pick<Moving, "disksOf" | "prepareDisks"> = {
  disksOf: async () => (side === "source" ? [{ name: "disk", path: join(dir, "disk") }] : null),
  prepareDisks: async () => (name) => join(dir, name),
};
const moves = new HostMoves({
  driver: { moving: moving as Moving },
  identity: { edge, signer: signerOf(createPrivateKey(key)) },
  listener: listens ? await DirectListener.start(inbound.address, inbound.port, () => undefined) : null,
  bandwidth: new Bandwidth(0),
  log: () => undefined,
});

let moved: BenchMoved = null;
const { signal } = new AbortController();
serveParent(
  {},
  {
    stop: async () => moves.stop(),
    answers: {
      start() {
        const run =
          side === "source"
            ? moves.sendDisks(SERVER, peer, signal)
            : moves.receiveDisks(SERVER, peer, {} as GuestSpec, signal);
        run.then(
          () => {
            moved = { edge_bytes: edgeBytes() };
          },
          (error: unknown) => {
            moved = { failed: String(error) };
          },
        );
      },
      moved: () => moved,
    },
  },
);
