/**
 * One stream of a move through the edge, as a Duplex: a WebSocket that the edge joins with the other host's. Neither end
 * takes more than it can hand on. An empty frame says that no more comes, as a WebSocket has no half that can be closed.
 */
import { Duplex } from "node:stream";
import type { WebSocket } from "ws";
import { dialEdge } from "../edge-socket.ts";
import { onRefusal } from "../refusal.ts";

const HIGH_WATER_BYTES = 256 * 1024;
const MAX_FRAME_BYTES = 256 * 1024;
/** Proxies end what is silent: Cloudflare after 100 s. */
const PING_MS = 25_000;
const EMPTY = Buffer.alloc(0);

export type PipeOptions = { edge: string; migration: string; stream: number; ticket: string; signal: AbortSignal };

/** The edge does not let this end in, and will not by being asked again. */
export class PipeRefused extends Error {
  override name = "PipeRefused";
}

/** Resolves when the edge has taken this end, be the other there or not. Rejects with PipeRefused, or another Error. */
export function dialPipe({ edge, migration, stream, ticket, signal }: PipeOptions): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const ws = dialEdge({
      edge,
      path: `/agent/v1/moves/${migration}/${stream}`,
      ticket,
      maxPayload: MAX_FRAME_BYTES,
    });
    const aborted = () => {
      reject(signal.reason);
      ws.terminate();
    };
    signal.addEventListener("abort", aborted, { once: true });
    const settle = (done: () => void) => {
      signal.removeEventListener("abort", aborted);
      done();
    };
    onRefusal(ws, ({ status, why }) => {
      const lasting = status >= 400 && status < 500 && status !== 429 && status !== 408;
      settle(() => reject(lasting ? new PipeRefused(why) : new Error(why)));
    });
    ws.on("error", (error) => settle(() => reject(error)));
    ws.once("open", () => settle(() => resolve(new PipeStream(ws))));
  });
}

class PipeStream extends Duplex {
  readonly #ws: WebSocket;
  /** Whether the other end has said that no more comes. */
  #heardAll = false;

  constructor(ws: WebSocket) {
    super({ highWaterMark: HIGH_WATER_BYTES });
    this.#ws = ws;
    ws.on("message", (data, isBinary) => {
      if (!Buffer.isBuffer(data) || !isBinary)
        return void this.destroy(new Error("the pipe carries binary frames only"));
      this.#heardAll = data.length === 0;
      if (!this.push(this.#heardAll ? null : data)) ws.pause();
    });
    const timer = setInterval(() => ws.ping(), PING_MS).unref();
    ws.once("close", (code) => {
      clearInterval(timer);
      // After both ends it is no failure, and what has come may not have been read yet.
      if (!this.#heardAll || !this.writableFinished) this.destroy(new Error(`the pipe was closed with ${code}`));
    });
  }

  override _read(): void {
    this.#ws.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#send(chunk, done);
  }

  /** One frame of what has gathered: TLS writes its records, of 16 KiB, one by one. */
  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.#send(Buffer.concat(chunks.map(({ chunk }) => chunk)), done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#ws.send(EMPTY, done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    if (error === null && this.writableFinished && this.#heardAll) this.#ws.close();
    else this.#ws.terminate();
    done(error);
  }

  #send(bytes: Buffer, done: (error?: Error | null) => void): void {
    let at = 0;
    for (; at + MAX_FRAME_BYTES < bytes.length; at += MAX_FRAME_BYTES) {
      this.#ws.send(bytes.subarray(at, at + MAX_FRAME_BYTES));
    }
    this.#ws.send(bytes.subarray(at), (error) => done(error));
  }
}
