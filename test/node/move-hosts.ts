/** Two hosts between which a test moves a guest: their moves, with drivers that have a folder of disks and no guests. */
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import type { GuestDisk, Moving } from "../../agent/drivers/driver.ts";
import { type Signer, signerOf } from "../../agent/identity.ts";
import { Bandwidth } from "../../agent/move/bandwidth.ts";
import { DirectListener } from "../../agent/move/direct.ts";
import { HostMoves } from "../../agent/move/host-moves.ts";
import type { MovePeer, MoveSide } from "../../functions/protocol/move.ts";
import { recordingLog, SERVER, SPEC, temporaryDir } from "./agent-support.ts";
import type { MoveEdge } from "./move-edge.ts";

export type MoveHost = {
  dir: string;
  moves: HostMoves;
  logged: ReturnType<typeof recordingLog>;
  moving: Partial<Moving>;
  signer: Signer;
  /** What the edge tells it of the other. */
  peer: MovePeer;
};

export type HostsOptions = {
  /** The edge's URL, and a ticket for each side. */
  edge: { url: string; ticket(migration: string, side: MoveSide): string | Promise<string> };
  /** The destination listens. */
  direct?: boolean;
  /** Where the source is told that it does, when that is wrong. */
  inbound?: MovePeer["inbound"];
  bytesPerSecond?: number;
  nobodyMs?: number;
};

/** The tickets of an edge that is a test's own. */
export function ticketsOf(edge: MoveEdge): HostsOptions["edge"] {
  return {
    url: edge.url,
    ticket(migration, side) {
      const ticket = `${side} of ${migration}`;
      edge.tickets.set(ticket, side);
      return ticket;
    },
  };
}

export class MoveHosts {
  readonly migration = randomUUID();
  readonly source: MoveHost;
  readonly destination: MoveHost;

  private constructor(source: MoveHost, destination: MoveHost) {
    this.source = source;
    this.destination = destination;
  }

  static async start(options: HostsOptions): Promise<MoveHosts> {
    const { edge, direct = false, bytesPerSecond = 0, nobodyMs } = options;
    const migration = randomUUID();
    const signers = { source: newSigner(), destination: newSigner() };
    const logs = { source: recordingLog(), destination: recordingLog() };
    const listener = direct ? await DirectListener.start("127.0.0.1", 0, logs.destination.log) : null;
    const inbound = options.inbound ?? (listener && { address: "127.0.0.1", port: listener.port });
    const host = async (side: MoveSide, other: MoveSide): Promise<MoveHost> => {
      const dir = join(temporaryDir(), side);
      mkdirSync(dir);
      const moving: Partial<Moving> = {
        disksOf: async () => (side === "source" ? [] : null),
        prepareDisks: async () => (name) => join(dir, name),
      };
      const moves = new HostMoves({
        driver: { moving: moving as Moving },
        identity: { edge: edge.url, signer: signers[side] },
        listener: side === "destination" ? listener : null,
        bandwidth: new Bandwidth(bytesPerSecond),
        log: logs[side].log,
        ...(nobodyMs === undefined ? {} : { nobodyMs }),
      });
      onTestFinished(() => moves.stop());
      const peer = {
        migration,
        host: other,
        public_key: signers[other].publicKey,
        ticket: await edge.ticket(migration, side),
        inbound,
      };
      return { dir, moves, logged: logs[side], moving, signer: signers[side], peer };
    };
    return new MoveHosts(await host("source", "destination"), await host("destination", "source"));
  }

  /** The guest's disks at the source. */
  disks(...names: string[]): GuestDisk[] {
    const disks = names.map((name) => ({ name, path: join(this.source.dir, name) }));
    this.source.moving.disksOf = async () => disks;
    return disks;
  }

  send(signal = new AbortController().signal): Promise<{ bytes: number }> {
    return this.source.moves.sendDisks(SERVER, this.source.peer, signal);
  }

  receive(signal = new AbortController().signal): Promise<{ bytes: number }> {
    return this.destination.moves.receiveDisks(SERVER, this.destination.peer, SPEC, signal);
  }

  /** Both, as the edge asks for them. */
  async bring(): Promise<{ bytes: number }> {
    const [sent, received] = await Promise.all([this.send(), this.receive()]);
    if (received.bytes > sent.bytes) throw new Error("more came than was sent");
    return received;
  }
}

export const newSigner = () => signerOf(generateKeyPairSync("ed25519").privateKey);
