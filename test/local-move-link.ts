/** A MoveLink of plain local sockets: each stream is a connection that begins with a line, its kind. */
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { Bandwidth } from "../agent/move/bandwidth.ts";
import type { MoveLink } from "../agent/move/moves.ts";

/** Streams of this kind break when so many bytes came from their opener. */
export type Cut = { kind: string; bytes: number };

type LocalMoveLinkOptions = { peer: string; cut?: Cut | undefined; bandwidth?: Bandwidth };

export class LocalMoveLink implements MoveLink {
  readonly #peer: string;
  readonly #cut: Cut | undefined;
  readonly bandwidth: Bandwidth;
  readonly #sockets = new Set<Socket>();
  readonly #legs = new Map<string, Socket[]>();
  #server: Server | undefined;
  /** How many streams of each kind were opened here, and the bytes that went into them. */
  readonly opened = new Map<string, { streams: number; bytes: number }>();

  constructor({ peer, cut, bandwidth = new Bandwidth(0) }: LocalMoveLinkOptions) {
    this.bandwidth = bandwidth;
    this.#peer = peer;
    this.#cut = cut;
  }

  async listen(path: string): Promise<void> {
    await rm(path, { force: true });
    this.#server = createServer({ allowHalfOpen: true });
    this.#server.listen(path);
    await once(this.#server, "listening");
  }

  async open(kind: string, signal: AbortSignal): Promise<Duplex> {
    const socket = connect({ path: this.#peer, allowHalfOpen: true });
    await once(socket, "connect", { signal });
    this.#keep(socket);
    socket.write(`${kind}\n`);
    const count = this.opened.get(kind) ?? { streams: 0, bytes: 0 };
    this.opened.set(kind, count);
    count.streams += 1;
    this.#legs.set(kind, [...(this.#legs.get(kind) ?? []), socket]);
    const write = socket.write.bind(socket) as (...args: unknown[]) => boolean;
    const cut = this.#cut;
    socket.write = (...args: unknown[]) => {
      count.bytes += (args[0] as Buffer).length;
      if (cut?.kind === kind && count.bytes > cut.bytes) socket.destroy(new Error("the leg was cut"));
      return write(...args);
    };
    return socket;
  }

  onStream(take: (kind: string, stream: Duplex) => void): void {
    this.#server?.removeAllListeners("connection");
    this.#server?.on("connection", (socket) => {
      this.#keep(socket);
      let head = Buffer.alloc(0);
      const read = () => {
        for (let byte: Buffer | null = socket.read(1); byte !== null; byte = socket.read(1)) {
          if (byte[0] !== 0x0a) {
            head = Buffer.concat([head, byte]);
            continue;
          }
          socket.off("readable", read);
          take(head.toString(), socket);
          return;
        }
      };
      socket.on("readable", read);
    });
  }

  /** Breaks the streams of a kind that were opened here. */
  cut(kind: string): void {
    for (const socket of this.#legs.get(kind) ?? []) socket.destroy(new Error("the leg was cut"));
  }

  close(): void {
    this.#server?.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #keep(socket: Socket): void {
    socket.on("error", () => undefined);
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
  }
}
