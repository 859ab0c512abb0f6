/**
 * An RFB 3.8 server (RFC 6143) on a unix socket, without authentication: who may open the socket may use the screen,
 * as with QEMU's `-vnc unix:`. Serves any number of shared clients up to a limit.
 */
import { createServer, type Server, type Socket } from "node:net";
import { type ConnectionOptions, RfbConnection } from "./rfb-connection.ts";

/** QEMU's limit is 32 too (`-vnc connections=`). */
export const MAX_CLIENTS = 32;

export type RfbServerOptions = Omit<ConnectionOptions, "onClosed"> & {
  /** Path of the socket, at most 107 bytes (sun_path in unix(7)). Nothing may be there. */
  path: string;
};

export class RfbServer {
  readonly path: string;
  readonly #options: RfbServerOptions;
  readonly #server: Server;
  readonly #connections = new Set<RfbConnection>();

  private constructor(options: RfbServerOptions) {
    this.path = options.path;
    this.#options = options;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  /** Listens. Rejects with the system's error, for example EADDRINUSE. */
  static async listen(options: RfbServerOptions): Promise<RfbServer> {
    const server = new RfbServer(options);
    await new Promise<void>((resolve, reject) => {
      server.#server.once("error", reject);
      server.#server.listen(options.path, resolve);
    });
    server.#server.removeAllListeners("error");
    server.#server.on("error", (error) => options.log("rfb.server_failed", { reason: error.message }));
    return server;
  }

  get clients(): number {
    return this.#connections.size;
  }

  /** Disconnects every client, stops listening and removes the socket. May be called twice. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const connection of this.#connections) connection.close();
    await closed;
  }

  #accept(socket: Socket): void {
    if (this.#connections.size >= MAX_CLIENTS) {
      this.#options.log("rfb.client_refused", { reason: `there are ${MAX_CLIENTS} clients already` });
      socket.on("error", () => {});
      socket.destroy();
      return;
    }
    const onClosed = () => this.#connections.delete(connection);
    const connection: RfbConnection = new RfbConnection(socket, { ...this.#options, onClosed });
    this.#connections.add(connection);
  }
}
