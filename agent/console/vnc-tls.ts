/** TLS inside of an RFB connection, as VeNCrypt begins it (nova/console/rfb/authvencrypt.py). */
import type { Socket } from "node:net";
import { connect, type TLSSocket } from "node:tls";

/** PEM. Without `ca` the server's certificate is not looked at: it is on this machine, where the address is the proof. */
export type TlsOptions = { ca?: Buffer; cert?: Buffer; key?: Buffer };

/** @param anonymous neither side has a certificate: Diffie-Hellman alone, which TLS 1.3 does not have any more */
export function startTls(socket: Socket, options: TlsOptions & { anonymous: boolean }): TLSSocket {
  const { anonymous, ca, cert, key } = options;
  if (anonymous) {
    return connect({ socket, ciphers: "aNULL:@SECLEVEL=0", maxVersion: "TLSv1.2", rejectUnauthorized: false });
  }
  return connect({
    socket,
    rejectUnauthorized: ca !== undefined,
    // The certificate names a host of the cloud, and we are on it.
    checkServerIdentity: () => undefined,
    ...(ca && { ca }),
    ...(cert && key && { cert, key }),
  });
}
