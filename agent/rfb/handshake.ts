/**
 * A server's side of the handshake, from the first byte to ServerInit, with security None (RFC 6143 §7.1 to §7.3; versions 3.3 and 3.7 as its appendix A tells).
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
import type { Reading } from "./byte-feed.ts";
import { RfbError } from "./rfb-error.ts";
import { GREETING, SECURITY, VERSION_BYTES } from "./wire.ts";

/**
 * Leads one client in. The shared flag of ClientInit is not asked for: whether others may watch is not one client's to
 * say. Throws RfbError when the client speaks no RFB or wants a security type that was not offered.
 */
export function* handshake(write: (bytes: Buffer) => void, serverInit: Buffer): Reading<void> {
  write(Buffer.from(GREETING));
  const minor = agreedMinor(yield VERSION_BYTES, "the client");
  if (minor === 3) {
    write(Buffer.from([0, 0, 0, SECURITY.NONE]));
  } else {
    write(Buffer.from([1, SECURITY.NONE]));
    const chosen = (yield 1).readUInt8(0);
    if (chosen !== SECURITY.NONE) {
      if (minor === 8) write(securityFailure("this server offers security type None only"));
      throw new RfbError(`security type ${chosen} was not offered`);
    }
    if (minor === 8) write(Buffer.from([0, 0, 0, 0]));
  }
  yield 1;
  write(serverInit);
}

/**
 * The version to go on with, by the peer's greeting. Minor versions other than 7 and 8 were never published: lower ones
 * are taken for 3, higher ones for 8. Throws RfbError, which names `who` spoke, when it is no RFB 3.
 */
export function agreedMinor(greeting: Buffer, who: string): 3 | 7 | 8 {
  const minor = /^RFB 003\.(\d{3})\n$/.exec(greeting.toString("latin1"))?.[1];
  if (minor === undefined) throw new RfbError(`${who} speaks no RFB 3`);
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
