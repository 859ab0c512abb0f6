/**
 * How the two ends of one stream come together. The source chooses the way of a move's first stream, and with it that of
 * all that follow: straight, if it gets to the destination, else through the edge.
 *
 *   source       tries the straight way; then waits in the pipe, and goes on trying, until one of them has the other end
 *   destination  listens; and, a little later, so that the source can find it listening, waits in the pipe as well
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { TLSSocket } from "node:tls";
import type { MovePeer, MoveSide } from "../../functions/protocol/move.ts";
import type { Signer } from "../identity.ts";
import { type DirectListener, dialDirect } from "./direct.ts";
import type { Keys, Opening } from "./handshake.ts";
import { dialPipe, PipeRefused } from "./pipe.ts";
import { secureDestination, secureSource } from "./secure.ts";

/** How long the straight way may take: a firewall that says nothing costs a move this much. */
const PROBE_MS = 1500;
const AGAIN_MS = 300;
/**
 * How long two ends may take to meet in the pipe, in which the edge lets one wait 15 s for the other: one that has died
 * without a word would be waited for without end.
 */
const PIPE_MS = 20_000;
/** The same where they have a connection. */
const DIRECT_MS = 5000;
/** For how long a destination that listens gives the straight way precedence. */
const PRECEDENCE_MS = 2000;

export type Way = "direct" | "pipe";
export type End = {
  side: MoveSide;
  peer: MovePeer;
  signer: Signer;
  /** The edge's base URL. */
  edge: string;
  /** Where this host listens; null: it does not. */
  listener: DirectListener | null;
};
export type Met = { stream: TLSSocket; way: Way };

/** Meets the other end, by whichever way. Rejects with PipeRefused, the signal's reason, or why no way led there. */
export async function meet(end: End, opening: Opening, signal: AbortSignal): Promise<Met> {
  if (end.side === "destination") {
    if (end.listener === null) return meetBy("pipe", end, opening, signal);
    return first(signal, [
      (signal) => again((signal) => meetBy("direct", end, opening, signal), signal),
      async (signal) => {
        await sleep(PRECEDENCE_MS, undefined, { signal });
        return meetBy("pipe", end, opening, signal);
      },
    ]);
  }
  if (end.peer.inbound === null) return meetBy("pipe", end, opening, signal);
  const probe = (signal: AbortSignal) =>
    meetBy("direct", end, opening, AbortSignal.any([signal, AbortSignal.timeout(PROBE_MS)]));
  try {
    return await probe(signal);
  } catch {
    return first(signal, [(signal) => meetBy("pipe", end, opening, signal), (signal) => again(probe, signal)]);
  }
}

/** Meets the other end by a way that both know. */
export async function meetBy(way: Way, end: End, opening: Opening, given: AbortSignal): Promise<Met> {
  const within = (ms: number) => AbortSignal.any([given, AbortSignal.timeout(ms)]);
  if (way === "pipe") {
    const { migration, stream } = opening;
    const signal = within(PIPE_MS);
    const options = { opening, keys: keysOf(end), signal };
    const pipe = await dialPipe({ edge: end.edge, migration, stream, ticket: end.peer.ticket, signal });
    const secure = end.side === "source" ? secureSource : secureDestination;
    return { stream: await secure(pipe, options), way };
  }
  if (end.side === "source") {
    if (end.peer.inbound === null) throw new Error("the destination does not listen");
    const options = { opening, keys: keysOf(end), signal: within(DIRECT_MS) };
    return { stream: await secureSource(await dialDirect(end.peer.inbound, options.signal), options), way };
  }
  if (end.listener === null) throw new Error("this host does not listen");
  const arrival = await end.listener.expect(opening, given);
  const options = { opening, keys: keysOf(end), signal: within(DIRECT_MS) };
  return { stream: await secureDestination(arrival.socket, options, arrival.first), way };
}

const keysOf = ({ signer, peer }: End): Keys => ({ signer, peerKey: peer.public_key });

/**
 * Tries until it works, for what stands in the way may go: the other end that is not there yet, or a connection that it
 * has given up. Rejects with PipeRefused, or the signal's reason.
 */
export async function again(attempt: (signal: AbortSignal) => Promise<Met>, signal: AbortSignal): Promise<Met> {
  for (;;) {
    try {
      return await attempt(signal);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof PipeRefused) throw error;
      await sleep(AGAIN_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }
}

/**
 * The first that works; the others are given up. The first that fails is the failure of all, as those that try again by
 * themselves do not fail.
 */
async function first(signal: AbortSignal, attempts: ((signal: AbortSignal) => Promise<Met>)[]): Promise<Met> {
  const over = new AbortController();
  const both = AbortSignal.any([signal, over.signal]);
  const running = attempts.map((attempt) => attempt(both));
  try {
    const met = await Promise.race(running);
    for (const other of running)
      void other.then(
        ({ stream }) => stream !== met.stream && stream.destroy(),
        () => undefined,
      );
    return met;
  } catch (error) {
    for (const other of running)
      void other.then(
        ({ stream }) => stream.destroy(),
        () => undefined,
      );
    throw error;
  } finally {
    over.abort();
  }
}
