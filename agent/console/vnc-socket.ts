/** The local end of a console: the guest's VNC server, on this machine. */
import { connect, type Socket } from "node:net";
import type { VncAddress } from "../../functions/protocol/guest.ts";
import { DriverError } from "../drivers/driver.ts";
import { pooledReads, type Reader } from "./read-buffers.ts";

const CONNECT_TIMEOUT_MS = 5000;

/** The socket has no 'data' events: what is read goes to `onBytes`, which must be set before the socket is resumed. */
export type VncConnection = { readonly socket: Socket; onBytes: Reader };

/**
 * Connects to a guest's VNC server. The socket is paused, so the server's greeting waits in it.
 * Rejects with `DriverError` ConsoleNotAvailable when there is no answer within 5 s.
 */
export function connectVnc(address: VncAddress, timeoutMs = CONNECT_TIMEOUT_MS): Promise<VncConnection> {
  const onread = pooledReads((bytes, done) => connection.onBytes(bytes, done));
  const socket = connect(
    address.transport === "unix" ? { path: address.path, onread } : { host: address.host, port: address.port, onread },
  );
  socket.pause();
  const connection: VncConnection = { socket, onBytes: (_, done) => done() };
  return new Promise((resolve, reject) => {
    const fail = (cause?: Error) => {
      clearTimeout(timer);
      socket.destroy();
      reject(new DriverError("ConsoleNotAvailable", "the server's screen does not answer", { cause }));
    };
    const timer = setTimeout(fail, timeoutMs);
    socket.once("error", fail);
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.off("error", fail);
      // From here on an error is an end like any other, and 'close' follows it.
      socket.on("error", () => undefined);
      socket.setNoDelay(true);
      resolve(connection);
    });
  });
}
