/**
 * One connection to libvirt: calls with their answers, events, keepalive.
 *
 * We speak libvirt's RPC on its unix socket ourselves (as digitalocean/go-libvirt does), because then
 * - the event loop is never blocked: it is one socket, and domain events are pushed on it;
 * - nothing native is built or loaded on the hypervisor, so one agent runs against any libvirt since 1.2;
 * - errors come as numbers (virErrorNumber), not as text in the operator's language;
 * - a libvirtd that restarts is a socket that closes, and is dialled again.
 * koffi on libvirt.so would need a thread for libvirt's own event loop and crash the agent on a wrong struct;
 * virsh would need a process a call, has no machine-readable output, and loses events between two calls.
 * libvirt calls the protocol internal, but keeps it compatible with every old client: procedures are only added.
 */
import { connect, type Socket } from "node:net";
import { DriverError } from "../driver.ts";
import { readError } from "./errors.ts";
import {
  encodeFrame,
  type Frame,
  FrameReader,
  KEEPALIVE,
  KEEPALIVE_PROGRAM,
  REMOTE_PROGRAM,
  STATUS,
  TYPE,
} from "./frame.ts";
import { XdrReader } from "./xdr.ts";

/** libvirtd accepts at once or is dead. */
const DIAL_TIMEOUT_MS = 10_000;
/** The slowest call is a hard stop under load: libvirt itself waits 30 s for a guest's lock. */
const CALL_TIMEOUT_MS = 120_000;
/** For a call that writes or reads a guest's whole memory. Whether libvirtd still lives, the keepalive tells. */
export const MEMORY_CALL_TIMEOUT_MS = 3_600_000;
/** libvirt's own pace: keepalive_interval 5 s, keepalive_count 5. */
const KEEPALIVE_INTERVAL_MS = 5_000;
const KEEPALIVE_COUNT = 5;
/** libvirtd stops reading from a client with 5 calls open (max_client_requests); below that, our PINGs are read. */
const CALLS_AT_ONCE = 4;
/** Calls that may take long leave one place to the others: a guest's state can be asked while others are suspended. */
const LONG_CALLS_AT_ONCE = 3;

type Call = {
  procedure: number;
  args: Buffer;
  timeoutMs: number;
  resolve: (answer: XdrReader) => void;
  reject: (error: Error) => void;
};
type Sent = Call & { timer: NodeJS.Timeout };
export type RpcEvents = {
  event(procedure: number, payload: XdrReader): void;
  /** Called once, after all open calls were rejected. */
  closed(reason: string): void;
};

const isLong = ({ timeoutMs }: Call) => timeoutMs > CALL_TIMEOUT_MS;
const unavailable = (message: string, cause?: unknown) =>
  new DriverError("HypervisorUnavailable", message, cause === undefined ? undefined : { cause });

export class RpcConnection {
  readonly #socket: Socket;
  readonly #events: RpcEvents;
  readonly #frames = new FrameReader();
  readonly #sent = new Map<number, Sent>();
  readonly #waiting: Call[] = [];
  #serial = 0;
  #silentTicks = 0;
  #keepalive: NodeJS.Timeout | undefined;
  #reason: string | undefined;

  private constructor(socket: Socket, events: RpcEvents) {
    this.#socket = socket;
    this.#events = events;
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", (error) => this.#end(error.message));
    socket.on("close", () => this.#end("libvirt closed the connection"));
  }

  /** Connects to a unix socket. Rejects with the system's error (ENOENT, EACCES, ECONNREFUSED, ETIMEDOUT). */
  static dial(path: string, events: RpcEvents): Promise<RpcConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect({ path });
      const late = () => socket.destroy(Object.assign(new Error("connect took too long"), { code: "ETIMEDOUT" }));
      const timer = setTimeout(late, DIAL_TIMEOUT_MS);
      const failed = (error: Error) => {
        clearTimeout(timer);
        reject(error);
      };
      socket.once("error", failed);
      socket.once("connect", () => {
        clearTimeout(timer);
        socket.off("error", failed);
        resolve(new RpcConnection(socket, events));
      });
    });
  }

  /**
   * Calls a procedure of the remote program; `args` is its XDR-encoded argument struct.
   * Rejects with LibvirtError when libvirt says no, and with HypervisorUnavailable when it says nothing.
   */
  call(procedure: number, args: Buffer = Buffer.alloc(0), timeoutMs = CALL_TIMEOUT_MS): Promise<XdrReader> {
    return new Promise((resolve, reject) => {
      if (this.#reason === undefined) {
        this.#waiting.push({ procedure, args, timeoutMs, resolve, reject });
        this.#send();
      } else {
        reject(unavailable("the connection to libvirt is closed"));
      }
    });
  }

  /** Asks for a sign of life when none came by itself. To be called once libvirtd agreed to keepalive messages. */
  startKeepalive(): void {
    this.#keepalive ??= setInterval(() => {
      if (++this.#silentTicks > KEEPALIVE_COUNT) this.#end("libvirt stopped answering");
      else this.#keepaliveMessage(KEEPALIVE.PING);
    }, KEEPALIVE_INTERVAL_MS).unref();
  }

  close(): void {
    this.#end("closed by the agent");
  }

  #send(): void {
    while (this.#sent.size < CALLS_AT_ONCE) {
      const long = [...this.#sent.values()].filter(isLong).length;
      const next = long < LONG_CALLS_AT_ONCE ? 0 : this.#waiting.findIndex((call) => !isLong(call));
      const [call] = next === -1 ? [] : this.#waiting.splice(next, 1);
      if (call === undefined) return;
      this.#serial = (this.#serial % 0xffff_ffff) + 1;
      const serial = this.#serial;
      const timer = setTimeout(() => {
        this.#settle(serial)?.reject(unavailable("libvirt did not answer in time"));
      }, call.timeoutMs);
      this.#sent.set(serial, { ...call, timer });
      const { procedure, args: payload } = call;
      const frame = { program: REMOTE_PROGRAM, procedure, type: TYPE.CALL, serial, status: STATUS.OK, payload };
      this.#socket.write(encodeFrame(frame));
    }
  }

  #settle(serial: number): Sent | undefined {
    const call = this.#sent.get(serial);
    if (call === undefined) return undefined;
    clearTimeout(call.timer);
    this.#sent.delete(serial);
    if (this.#reason === undefined) this.#send();
    return call;
  }

  #receive(chunk: Buffer): void {
    this.#silentTicks = 0;
    try {
      for (const frame of this.#frames.push(chunk)) this.#dispatch(frame);
    } catch (error) {
      // Out of step with the stream: no later byte of it can be understood.
      this.#end(`libvirt sent what it may not: ${error instanceof Error ? error.message : error}`);
    }
  }

  #dispatch(frame: Frame): void {
    if (frame.program === KEEPALIVE_PROGRAM) {
      if (frame.procedure === KEEPALIVE.PING) this.#keepaliveMessage(KEEPALIVE.PONG);
      return;
    }
    if (frame.program !== REMOTE_PROGRAM) return;
    const payload = new XdrReader(frame.payload);
    if (frame.type === TYPE.MESSAGE) this.#events.event(frame.procedure, payload);
    if (frame.type === TYPE.REPLY) this.#answer(frame, payload);
  }

  #answer(frame: Frame, payload: XdrReader): void {
    const call = this.#settle(frame.serial);
    if (call === undefined) return; // it timed out before
    if (frame.status === STATUS.OK) {
      call.resolve(payload);
      return;
    }
    try {
      call.reject(readError(payload));
    } catch (error) {
      call.reject(unavailable("libvirt's answer could not be read", error));
      throw error;
    }
  }

  #keepaliveMessage(procedure: number): void {
    const payload = Buffer.alloc(0);
    this.#socket.write(
      encodeFrame({ program: KEEPALIVE_PROGRAM, procedure, type: TYPE.MESSAGE, serial: 0, status: STATUS.OK, payload }),
    );
  }

  #end(reason: string): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    clearInterval(this.#keepalive);
    this.#socket.destroy();
    for (const call of this.#waiting.splice(0)) call.reject(unavailable("the connection to libvirt was lost"));
    for (const serial of [...this.#sent.keys()]) {
      this.#settle(serial)?.reject(unavailable("the connection to libvirt was lost"));
    }
    this.#events.closed(reason);
  }
}
