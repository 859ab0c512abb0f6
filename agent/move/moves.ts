/** Moving guests between this host and others: what the calls of a move become here. */
import type { Duplex } from "node:stream";
import type { GuestSpec } from "../../functions/protocol/methods.ts";
import type { MovePeer } from "../../functions/protocol/move.ts";
import { type ArrivalOrder, type DepartureOrder, DriverError } from "../drivers/driver.ts";
import type { Bandwidth } from "./bandwidth.ts";

/** One move's way to the other host. Both ends may open streams; what one opens comes out at the other. */
export interface MoveLink {
  /** How fast this host may send: whoever opens a stream asks it before what is large. */
  readonly bandwidth: Bandwidth;
  /** `kind` tells the other end what the stream is for. Rejects when the other host does not come. */
  open(kind: string, signal: AbortSignal): Promise<Duplex>;
  /** Takes the streams that the other end opens from now on. */
  onStream(take: (kind: string, stream: Duplex) => void): void;
  close(): void;
}

export interface Moves {
  /** Resolves with the bytes that travelled, when the other end has every disk. */
  sendDisks(server: string, peer: MovePeer, signal: AbortSignal): Promise<{ bytes: number }>;
  receiveDisks(server: string, peer: MovePeer, spec: GuestSpec, signal: AbortSignal): Promise<{ bytes: number }>;
  preLiveMigration(server: string, order: ArrivalOrder & { peer: MovePeer }, signal: AbortSignal): Promise<void>;
  liveMigration(
    server: string,
    order: Omit<DepartureOrder, "to"> & { peer: MovePeer },
    signal: AbortSignal,
  ): Promise<{ aborted: boolean }>;
  /** The move of this server is over, or given up: its links end. */
  forget(server: string): void;
}

const NO = async (): Promise<never> => {
  throw new DriverError("NotSupported", "This host moves no guests.");
};
export const noMoves: Moves = {
  sendDisks: NO,
  receiveDisks: NO,
  preLiveMigration: NO,
  liveMigration: NO,
  forget: () => undefined,
};
