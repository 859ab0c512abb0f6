/** The straight way between two hosts: TCP, from the source to where the destination listens (migration_inbound_addr). */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import type { MovePeer } from "../../functions/protocol/move.ts";
import { Failure, networkReason } from "../failure.ts";
import type { Log } from "../log.ts";
import { FIRST_BYTES, type Opening, readOpening } from "./handshake.ts";
import { take } from "./take.ts";

/** How long a stranger may take to say what it comes for, and be one that is expected; and how many may be at it. */
const STRANGER_MS = 2000;
const MAX_STRANGERS = 64;
const LOG_EVERY_MS = 1000;
const KEEPALIVE_MS = 30_000;

/** A connection, and what was read of it: it says that it is the stream, and has yet to prove it. */
export type Arrival = { socket: Socket; first: Buffer };

/** Resolves when the destination has taken the connection. */
export function dialDirect({ address, port }: NonNullable<MovePeer["inbound"]>, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const socket = connect({ host: address, port, allowHalfOpen: true });
    const aborted = () => void socket.destroy(signal.reason);
    signal.addEventListener("abort", aborted, { once: true });
    const settled = () => signal.removeEventListener("abort", aborted);
    socket.once("connect", () => {
      settled();
      prepare(socket);
      resolve(socket);
    });
    socket.once("error", (error) => {
      settled();
      reject(error);
    });
  });
}

/**
 * Listens for all the moves that come to this host. Who does not say in time that it is a stream of one is let go; one that
 * is a little early, before this host has been told to expect it, waits that long.
 */
export class DirectListener {
  readonly #server: Server;
  readonly #strangers = new Set<Socket>();
  readonly #expected = new Map<string, (arrival: Arrival) => void>();
  readonly #early = new Map<string, () => void>();
  readonly #stopping = new AbortController();
  #loggedAt = Number.NEGATIVE_INFINITY;

  private constructor(log: Log) {
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      const address = socket.remoteAddress;
      this.#greet(socket).catch((error: unknown) => {
        socket.destroy();
        // Whoever reaches the port could fill the log.
        const now = performance.now();
        if (now - this.#loggedAt < LOG_EVERY_MS) return;
        this.#loggedAt = now;
        log("move.stranger", { address, message: networkReason(error) });
      });
    });
  }

  /** Port 0 is any that is free. Throws `Failure`. */
  static async start(address: string, port: number, log: Log): Promise<DirectListener> {
    const listener = new DirectListener(log);
    listener.#server.listen(port, address);
    try {
      await once(listener.#server, "listening");
    } catch (cause) {
      throw new Failure(`cannot listen on migration_inbound_addr ${address}, port ${port}: ${networkReason(cause)}`, {
        cause,
      });
    }
    return listener;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** The next connection that says it is this stream. */
  expect(opening: Opening, signal: AbortSignal): Promise<Arrival> {
    signal.throwIfAborted();
    const key = keyOf(opening);
    return new Promise((resolve, reject) => {
      const aborted = () => {
        this.#expected.delete(key);
        reject(signal.reason);
      };
      this.#expected.set(key, (arrival) => {
        this.#expected.delete(key);
        signal.removeEventListener("abort", aborted);
        resolve(arrival);
      });
      signal.addEventListener("abort", aborted, { once: true });
      this.#early.get(key)?.();
    });
  }

  stop(): void {
    this.#stopping.abort();
    this.#server.close();
  }

  async #greet(socket: Socket): Promise<void> {
    socket.on("error", () => undefined);
    if (this.#strangers.size >= MAX_STRANGERS) throw new Error("too many come at a time");
    this.#strangers.add(socket);
    prepare(socket);
    try {
      const signal = AbortSignal.any([AbortSignal.timeout(STRANGER_MS), this.#stopping.signal]);
      const first = await take(socket, FIRST_BYTES, signal);
      const opening = readOpening(first);
      if (opening === null) throw new Error("it does not say what it comes for");
      const key = keyOf(opening);
      if (!this.#expected.has(key)) await this.#expectation(key, signal);
      const expecting = this.#expected.get(key);
      if (!expecting) throw new Error("it is of no move that is expected");
      expecting({ socket, first });
    } finally {
      this.#strangers.delete(socket);
    }
  }

  /** Resolves when it is expected, or nobody may wait for that any longer; a later one of the same key takes its place. */
  #expectation(key: string, signal: AbortSignal): Promise<void> {
    this.#early.get(key)?.();
    return new Promise((resolve) => {
      const done = () => {
        this.#early.delete(key);
        signal.removeEventListener("abort", done);
        resolve();
      };
      this.#early.set(key, done);
      signal.addEventListener("abort", done, { once: true });
    });
  }
}

const keyOf = ({ migration, stream, nonce }: Opening) => `${migration} ${stream} ${nonce}`;

function prepare(socket: Socket): void {
  socket.setNoDelay(true);
  socket.setKeepAlive(true, KEEPALIVE_MS);
}
