/**
 * Makes an encrypted, authenticated stream of one that any stranger may sit on: the handshake, and TLS with the key that
 * it gives (RFC 4279), by the direct way and through the pipe alike. The key being of this stream alone, one that is
 * found out later opens no stream that was recorded, so a cipher without a key exchange of its own will do.
 */
import { once } from "node:events";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { connect, TLSSocket, type TLSSocketOptions, type TlsOptions } from "node:tls";
import {
  FIRST_BYTES,
  HandshakeError,
  initiate,
  type Keys,
  type Opening,
  respond,
  SECOND_BYTES,
  THIRD_BYTES,
} from "./handshake.ts";
import { take } from "./take.ts";

const IDENTITY = "edgenova-move";
/** Node has PSK ciphers that it lets choose up to TLS 1.2; in 1.3 it has one with AES-128. */
const TLS = { ciphers: "PSK-AES256-GCM-SHA384", minVersion: "TLSv1.2", maxVersion: "TLSv1.2" } as const;

export type SecureOptions = { opening: Opening; keys: Keys; signal: AbortSignal };

/** The source's end. Rejects, with the stream destroyed, when the other end is not who it must be. */
export function secureSource(stream: Duplex, { opening, keys, signal }: SecureOptions): Promise<TLSSocket> {
  return orDestroyed(stream, async () => {
    const { first, finish } = initiate(opening, keys);
    stream.write(first);
    const { third, key } = finish(await take(stream, SECOND_BYTES, signal));
    stream.write(third);
    const options: TLSSocketOptions & TlsOptions = { ...TLS, isServer: true, pskCallback: () => key };
    const tls = new TLSSocket(stream as Socket, options);
    return established(tls, stream, "secure", signal);
  });
}

/**
 * The destination's end, `first` being what was read of the stream already. It is TLS's client, as it hears the last of
 * the handshake: so neither end speaks TLS before the other listens for it.
 */
export function secureDestination(stream: Duplex, options: SecureOptions, first?: Buffer): Promise<TLSSocket> {
  const { opening, keys, signal } = options;
  return orDestroyed(stream, async () => {
    const { second, finish } = respond(first ?? (await take(stream, FIRST_BYTES, signal)), opening, keys);
    stream.write(second);
    const { key } = finish(await take(stream, THIRD_BYTES, signal));
    const tls = connect({
      ...TLS,
      socket: stream,
      pskCallback: () => ({ psk: key, identity: IDENTITY }),
      // There is no certificate: who knows the key is the other host.
      checkServerIdentity: () => undefined,
    });
    return established(tls, stream, "secureConnect", signal);
  });
}

async function orDestroyed(stream: Duplex, secure: () => Promise<TLSSocket>): Promise<TLSSocket> {
  stream.on("error", () => undefined); // whoever reads or writes is told by 'close'
  try {
    return await secure();
  } catch (error) {
    stream.destroy();
    throw error;
  }
}

async function established(tls: TLSSocket, stream: Duplex, event: string, signal: AbortSignal): Promise<TLSSocket> {
  // A record that is not genuine makes Node say so, and wait for nothing from then on.
  tls.on("error", (error) => tls.destroy(error));
  tls.once("close", () => {
    // The other end must hear of a failure.

    if (!tls.writableFinished || !tls.readableEnded) stream.destroy();
  });
  const closed = new AbortController();
  const onClose = () => closed.abort(new HandshakeError("the other end could not be spoken to"));
  tls.once("close", onClose);
  try {
    await once(tls, event, { signal: AbortSignal.any([signal, closed.signal]) });
    return tls;
  } catch (error) {
    tls.destroy();
    throw signal.aborted ? signal.reason : error;
  } finally {
    tls.off("close", onClose);
  }
}
