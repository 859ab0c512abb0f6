/**
 * From the first byte to ServerInit (RFC 6143 §7.1 to §7.3; versions 3.3 and 3.7 as its appendix A tells).
 *
 *   server                     client
 *     | -- "RFB 003.008\n" ---> |
 *     | <- version ------------ |
 *     | -- security types ----> |   3.3: the server decides, in 4 bytes
 *     | <- 1 (None) ----------- |   not in 3.3
 *     | -- SecurityResult ----> |   only in 3.8: before that, None is followed by nothing
 *     | <- ClientInit --------- |
 *     | -- ServerInit --------> |   one write: a reader may take it for one piece
 */
import type { Reading } from "../../rfb/byte-feed.ts";
import { RfbError } from "../../rfb/rfb-error.ts";
import { encodePixelFormat, NATIVE_FORMAT } from "./pixel-format.ts";

const GREETING = "RFB 003.008\n";
const SECURITY_NONE = 1;
const MAX_NAME_BYTES = 1024;

export type ServerInit = { width: number; height: number; name: string };

/**
 * Leads one client in. The shared flag of ClientInit is not asked for: all clients share, as with QEMU's share=ignore.
 * Throws RfbError when the client speaks no RFB or wants a security type that was not offered.
 */
export function* handshake(write: (bytes: Buffer) => void, init: ServerInit): Reading<void> {
  write(Buffer.from(GREETING));
  const minor = agreedMinor((yield GREETING.length).toString("latin1"));
  if (minor === 3) {
    write(Buffer.from([0, 0, 0, SECURITY_NONE]));
  } else {
    write(Buffer.from([1, SECURITY_NONE]));
    const chosen = (yield 1).readUInt8(0);
    if (chosen !== SECURITY_NONE) {
      if (minor === 8) write(securityFailure("this server offers security type None only"));
      throw new RfbError(`security type ${chosen} was not offered`);
    }
    if (minor === 8) write(Buffer.from([0, 0, 0, 0]));
  }
  yield 1;
  write(serverInit(init));
}

/** Minor versions other than 7 and 8 were never published: lower ones are taken for 3, higher ones for 8. */
function agreedMinor(version: string): 3 | 7 | 8 {
  const minor = /^RFB 003\.(\d{3})\n$/.exec(version)?.[1];
  if (minor === undefined) throw new RfbError("the client speaks no RFB 3");
  if (Number(minor) >= 8) return 8;
  return Number(minor) === 7 ? 7 : 3;
}

function securityFailure(reason: string): Buffer {
  const text = Buffer.from(reason);
  const head = Buffer.alloc(8);
  head.writeUInt32BE(1, 0);
  head.writeUInt32BE(text.length, 4);
  return Buffer.concat([head, text]);
}

function serverInit({ width, height, name }: ServerInit): Buffer {
  const text = Buffer.from(name).subarray(0, MAX_NAME_BYTES);
  const size = Buffer.alloc(4);
  size.writeUInt16BE(width, 0);
  size.writeUInt16BE(height, 2);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(text.length, 0);
  return Buffer.concat([size, encodePixelFormat(NATIVE_FORMAT), length, text]);
}
