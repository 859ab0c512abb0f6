/**
 * One message of libvirt's RPC: a length that counts itself, six words of header, a payload.
 * Source: libvirt src/rpc/virnetprotocol.x and virkeepaliveprotocol.x.
 *
 *     | length | program | version | procedure | type | serial | status | payload ... |
 */
import { XdrError } from "./xdr.ts";

export const REMOTE_PROGRAM = 0x20008086;
export const KEEPALIVE_PROGRAM = 0x6b656570;
/** Both programs are at version 1, and have been since they exist. */
export const PROGRAM_VERSION = 1;
export const KEEPALIVE = { PING: 1, PONG: 2 } as const;
export const TYPE = { CALL: 0, REPLY: 1, MESSAGE: 2 } as const;
export const STATUS = { OK: 0, ERROR: 1 } as const;

/** Largest message libvirt sends, in bytes (virnetprotocol.x: VIR_NET_MESSAGE_MAX). */
export const MESSAGE_MAX_BYTES = 33_554_432;
const LENGTH_BYTES = 4;
const HEADER_BYTES = 24;

export type Frame = {
  program: number;
  procedure: number;
  type: number;
  serial: number;
  status: number;
  payload: Buffer;
};

export function encodeFrame(frame: Frame): Buffer {
  const length = LENGTH_BYTES + HEADER_BYTES + frame.payload.length;
  if (length > MESSAGE_MAX_BYTES) throw new XdrError(`a message of ${length} bytes is too long`);
  const head = Buffer.alloc(LENGTH_BYTES + HEADER_BYTES);
  const words = [length, frame.program, PROGRAM_VERSION, frame.procedure, frame.type, frame.serial, frame.status];
  for (const [i, word] of words.entries()) head.writeUInt32BE(word, i * 4);
  return Buffer.concat([head, frame.payload]);
}

function decodeFrame(message: Buffer): Frame {
  const version = message.readUInt32BE(8);
  if (version !== PROGRAM_VERSION) throw new XdrError(`a message of version ${version} cannot be`);
  return {
    program: message.readUInt32BE(4),
    procedure: message.readUInt32BE(12),
    type: message.readUInt32BE(16),
    serial: message.readUInt32BE(20),
    status: message.readUInt32BE(24),
    payload: message.subarray(LENGTH_BYTES + HEADER_BYTES),
  };
}

/** Cuts a byte stream into frames. Holds one unfinished message at most; a length outside the protocol throws. */
export class FrameReader {
  #chunks: Buffer[] = [];
  #held = 0;
  #wanted = LENGTH_BYTES;
  readonly #maxBytes: number;

  constructor(maxBytes: number = MESSAGE_MAX_BYTES) {
    this.#maxBytes = maxBytes;
  }

  /** The frames that `chunk` completes, in order. Throws XdrError on a length that no message can have. */
  push(chunk: Buffer): Frame[] {
    this.#chunks.push(chunk);
    this.#held += chunk.length;
    const frames: Frame[] = [];
    while (this.#held >= this.#wanted) {
      const held = Buffer.concat(this.#chunks, this.#held);
      const length = held.readUInt32BE(0);
      if (length < LENGTH_BYTES + HEADER_BYTES || length > this.#maxBytes) {
        throw new XdrError(`a message of ${length} bytes cannot be`);
      }
      const whole = held.length >= length;
      if (whole) frames.push(decodeFrame(held.subarray(0, length)));
      const rest = whole ? held.subarray(length) : held;
      this.#chunks = [rest];
      this.#held = rest.length;
      this.#wanted = whole ? LENGTH_BYTES : length;
    }
    return frames;
  }
}
