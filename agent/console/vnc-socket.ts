/** The local end of a console: the guest's VNC server, on this machine, logged in to. */
import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { VncAddress } from "../../functions/protocol/guest.ts";
import { DriverError } from "../drivers/driver.ts";
import { networkReason } from "../failure.ts";
import { ByteFeed, type Reading } from "../rfb/byte-feed.ts";
import { RfbError } from "../rfb/rfb-error.ts";
import { pooledReads, type Reader } from "./read-buffers.ts";
import { type Credentials, login } from "./vnc-login.ts";
import { startTls, type TlsOptions } from "./vnc-tls.ts";

const CONNECT_TIMEOUT_MS = 5000;
/** How long a server that does not read may take the last bytes. */
const HANG_UP_MS = 1000;

/** The socket has no 'data' events: what is read goes to `onBytes`, which must be set before the socket is resumed. */
export type VncConnection = {
  readonly socket: Duplex;
  onBytes: Reader;
  readonly serverInit: Buffer;
  /** What the server said right behind it. */
  readonly early: Buffer;
};
export type VncAccess = Credentials & TlsOptions;

/**
 * Connects to a guest's VNC server and logs in. The socket is paused then.
 * Rejects with `DriverError` ConsoleNotAvailable when that has not come to its end within 5 s; the message says why.
 */
export function connectVnc(
  address: VncAddress,
  access: VncAccess,
  timeoutMs = CONNECT_TIMEOUT_MS,
): Promise<VncConnection> {
  const { promise, resolve, reject } = Promise.withResolvers<VncConnection>();
  let onBytes: Reader = (bytes, done) => {
    feed(bytes);
    done();
  };
  const onread = pooledReads((bytes, done) => onBytes(bytes, done));
  const plain: Socket = connect(
    address.transport === "unix" ? { path: address.path, onread } : { host: address.host, port: address.port, onread },
  );
  let socket: Duplex = plain;
  const fail = (cause?: unknown) => {
    clearTimeout(timer);
    socket.destroy();
    plain.destroy();
    const silent =
      socket === plain ? "the server's screen does not answer" : `no TLS with the screen: ${networkReason(cause)}`;
    const why = cause instanceof RfbError ? cause.message : silent;
    reject(new DriverError("ConsoleNotAvailable", why, { cause }));
  };
  const timer = setTimeout(fail, timeoutMs);

  function* lead(): Reading<void> {
    const serverInit = yield* login({
      ...access,
      send: (bytes) => socket.write(bytes),
      startTls: (how) => {
        if (reading.rest.length > 0) throw new RfbError("the screen sent bytes before TLS that belong inside of it");
        socket = startTls(plain, { ...access, ...how });
        socket.on("error", fail);
        socket.on("data", (bytes: Buffer) => onBytes(bytes, () => undefined));
      },
    });
    clearTimeout(timer);
    // From here on an error is an end like any other, and 'close' follows it.
    for (const one of new Set([plain, socket]))
      one
        .off("error", fail)
        .on("error", () => undefined)
        .off("close", fail);
    socket.pause();
    const early = Buffer.from(reading.rest);
    const connection: VncConnection = { socket, onBytes: (_, done) => done(), serverInit, early };
    onBytes = (bytes, done) => connection.onBytes(bytes, done);
    resolve(connection);
  }
  const reading = new ByteFeed(lead());
  function feed(bytes: Buffer): void {
    try {
      reading.push(bytes);
    } catch (error) {
      fail(error);
    }
  }

  plain.setNoDelay(true);
  plain.once("error", fail);
  plain.once("close", fail);
  return promise;
}

/** Closes the connection when what was written to it has left, or soon after. */
export function hangUp(socket: Duplex): void {
  const timer = setTimeout(() => socket.destroy(), HANG_UP_MS).unref();
  socket.once("close", () => clearTimeout(timer));
  socket.end(() => socket.destroy());
}
