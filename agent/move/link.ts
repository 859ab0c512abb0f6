/**
 * A move's way to the other host, kept up until it is closed: the first stream is met again whenever it has died, by both
 * ends, and with it ends whatever was open.
 *
 *   dialling --both ends have met--> up --the first stream died--> dialling
 *       |--the edge lets this end in no more--> refused               close() ends it anywhere
 */
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { MAX_MOVE_STREAMS } from "../../functions/protocol/move.ts";
import { type BackoffOptions, backoff } from "../backoff.ts";
import { DriverError } from "../drivers/driver.ts";
import { networkReason } from "../failure.ts";
import type { Log } from "../log.ts";
import type { Bandwidth } from "./bandwidth.ts";
import { type Control, control, type OpenMessage } from "./control.ts";
import { newNonce } from "./handshake.ts";
import type { MoveLink } from "./moves.ts";
import { PipeRefused } from "./pipe.ts";
import { again, type End, meet, meetBy, type Way } from "./way.ts";

/** How long the other end of a stream may take to come, once it knows of it. */
const OPEN_MS = 20_000;
/** How long the other host may be away. */
const NOBODY_MS = 60_000;
const BACKOFF: BackoffOptions = { baseMs: 200, capMs: 5000 };
/** A link that has lasted so long counts as one that works. */
const STEADY_MS = 5000;
/** The first stream has no other end yet that could be told a nonce. */
const FIRST_NONCE = "0".repeat(16);

export type LinkOptions = End & { bandwidth: Bandwidth; log: Log; nobodyMs?: number };
type Up = { way: Way; control: Control; stream: Duplex };

export class Link implements MoveLink {
  readonly #options: LinkOptions;
  readonly #closing = new AbortController();
  /** Numbers that this end may open, the one that was free for longest first; the two ends share none. */
  readonly #free: number[];
  readonly #open = new Map<number, Duplex>();
  #up: Up | null = null;
  #refused: DriverError | undefined;
  readonly #closed = Promise.withResolvers<void>();
  #changed = Promise.withResolvers<void>();
  #take: ((kind: string, stream: Duplex) => void) | undefined;
  #untaken: [kind: string, stream: Duplex][] = [];

  constructor(options: LinkOptions) {
    this.#options = options;
    const odd = options.side === "source" ? 1 : 0;
    this.#free = Array.from({ length: MAX_MOVE_STREAMS - 1 }, (_, at) => at + 1).filter((n) => n % 2 === odd);
    void this.#run();
  }

  get bandwidth(): Bandwidth {
    return this.#options.bandwidth;
  }

  get way(): Way | null {
    return this.#up?.way ?? null;
  }

  /** Rejects with MigrationError when the other host has been away for a minute, or with the signal's reason. */
  async open(kind: string, signal: AbortSignal): Promise<Duplex> {
    const up = await this.whenUp(signal);
    const stream = this.#free.shift();
    if (stream === undefined) throw new Error("a move has no more streams");
    const nonce = newNonce();
    up.control.send({ t: "open", stream, nonce, kind });
    try {
      return await this.#meet(up, { stream, nonce }, signal, () => this.#free.push(stream));
    } catch (error) {
      this.#free.push(stream);
      throw error;
    }
  }

  onStream(take: (kind: string, stream: Duplex) => void): void {
    this.#take = take;
    const untaken = this.#untaken;
    this.#untaken = [];
    for (const [kind, stream] of untaken) if (!stream.destroyed) take(kind, stream);
  }

  close(): void {
    this.#closing.abort(new DriverError("MigrationError", "the move is over"));
    this.#down();
    this.#closed.resolve();
  }

  /** Resolves when it has been closed. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  /** Resolves when both ends have met; rejects as `open` does. */
  async whenUp(signal: AbortSignal): Promise<Up> {
    const { nobodyMs = NOBODY_MS } = this.#options;
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(this.#nobody(nobodyMs)), nobodyMs);
    try {
      for (;;) {
        for (const one of [signal, this.#closing.signal, late.signal]) one.throwIfAborted();
        if (this.#refused) throw this.#refused;
        if (this.#up) return this.#up;
        await this.#change([signal, late.signal]);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** Resolves when the ends are apart. */
  async whenDown(signal: AbortSignal): Promise<void> {
    while (this.#up && !signal.aborted) await this.#change([signal]);
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    const { peer, log } = this.#options;
    for (let failures = 0; !signal.aborted; ) {
      const opening = { migration: peer.migration, stream: 0, nonce: FIRST_NONCE };
      /** Of a try that failed: a link that ends is one whose move is over, as far as this end knows. */
      let why: string | null = null;
      try {
        const { stream, way } = await meet(this.#options, opening, signal);
        const startedMs = performance.now();
        const up = { way, stream, control: control(stream, (open) => this.#opened(open)) };
        log("move.linked", { migration: peer.migration, peer: peer.host, way });
        this.#set(up);
        await up.control.ended;
        log("move.unlinked", { migration: peer.migration, peer: peer.host });
        this.#down();
        // One that ends as soon as it is there is no better than none.
        if (performance.now() - startedMs > STEADY_MS) failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof PipeRefused) {
          this.#refused = new DriverError("MigrationError", `the way to host ${peer.host} is closed: ${error.message}`);
          this.#notify();
          return;
        }
        why = networkReason(error);
      }
      const retry_ms = backoff(failures++, BACKOFF);
      if (why !== null) log("move.waiting", { migration: peer.migration, peer: peer.host, message: why, retry_ms });
      await sleep(retry_ms, undefined, { signal }).catch(() => undefined);
    }
  }

  /** The other end opens a stream. */
  #opened({ stream, nonce, kind }: OpenMessage): void {
    const up = this.#up;
    const { side, peer, log } = this.#options;
    // Its numbers are not this end's, and one that it still has here it does not open again.
    const theirs = stream % 2 === (side === "source" ? 0 : 1);
    if (up === null || !theirs) return;
    this.#open.get(stream)?.destroy();
    this.#meet(up, { stream, nonce }, this.#closing.signal, () => undefined).then(
      (duplex) => {
        if (this.#take) this.#take(kind, duplex);
        else this.#untaken = [...this.#untaken.filter(([, { destroyed }]) => !destroyed), [kind, duplex]];
      },
      (error: unknown) => log("move.stream_failed", { migration: peer.migration, message: networkReason(error) }),
    );
  }

  async #meet(
    up: Up,
    { stream, nonce }: { stream: number; nonce: string },
    signal: AbortSignal,
    closed: () => void,
  ): Promise<Duplex> {
    const over = new AbortController();
    void up.control.ended.then(() => over.abort(new Error("the other host has gone")));
    const signals = [signal, over.signal, this.#closing.signal, AbortSignal.timeout(OPEN_MS)];
    const opening = { migration: this.#options.peer.migration, stream, nonce };
    const met = await again((signal) => meetBy(up.way, this.#options, opening, signal), AbortSignal.any(signals));
    if (this.#up !== up || met.stream.destroyed) {
      met.stream.destroy();
      throw new Error("the other host has gone");
    }
    this.#open.set(stream, met.stream);
    met.stream.once("close", () => {
      if (this.#open.get(stream) === met.stream) this.#open.delete(stream);
      closed();
    });
    return met.stream;
  }

  #set(up: Up | null): void {
    this.#up = up;
    this.#notify();
  }

  #down(): void {
    const up = this.#up;
    this.#set(null);
    up?.stream.destroy();
    for (const stream of this.#open.values()) stream.destroy();
    for (const [, stream] of this.#untaken.splice(0)) stream.destroy();
  }

  #notify(): void {
    const { resolve } = this.#changed;
    this.#changed = Promise.withResolvers<void>();
    resolve();
  }

  async #change(signals: AbortSignal[]): Promise<void> {
    const woken = Promise.withResolvers<void>();
    const wake = () => woken.resolve();
    for (const signal of signals) signal.addEventListener("abort", wake, { once: true });
    void this.#changed.promise.then(wake);
    try {
      await woken.promise;
    } finally {
      for (const signal of signals) signal.removeEventListener("abort", wake);
    }
  }

  #nobody(ms: number): DriverError {
    const { host } = this.#options.peer;
    return new DriverError("MigrationError", `host ${host} did not come within ${Math.round(ms / 1000)} s`);
  }
}
