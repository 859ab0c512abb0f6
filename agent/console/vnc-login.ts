/**
 * From the VNC server's greeting to its ServerInit (RFC 6143 §7.1 to §7.3), with whatever security it wants: None, a VNC
 * password, or VeNCrypt (rfbproto.rst §7.2.19; nova/console/rfb/authvencrypt.py). The viewer needs to know none of it.
 */
import type { Reading } from "../rfb/byte-feed.ts";
import { agreedMinor } from "../rfb/handshake.ts";
import { RfbError } from "../rfb/rfb-error.ts";
import { GREETING, SECURITY, VERSION_BYTES } from "../rfb/wire.ts";
import { CHALLENGE_BYTES, vncResponse } from "./vnc-auth.ts";

/** `password` null: there is none. TLS is begun by `startTls`, which goes on with the bytes that are inside of it. */
export type Credentials = { username: string | null; password: string | null };
export type LoginOptions = Credentials & {
  send(bytes: Buffer): void;
  /** Whatever comes and goes from here on is within TLS; `anonymous` when the server proves nothing. */
  startTls(how: { anonymous: boolean }): void;
};

const VENCRYPT = {
  TLS_NONE: 257,
  TLS_VNC: 258,
  TLS_PLAIN: 259,
  X509_NONE: 260,
  X509_VNC: 261,
  X509_PLAIN: 262,
};
type Inner = "none" | "vnc" | "plain";
/** In our order of preference: who proves itself first. */
const SUBTYPES: readonly { code: number; anonymous: boolean; inner: Inner }[] = [
  { code: VENCRYPT.X509_PLAIN, anonymous: false, inner: "plain" },
  { code: VENCRYPT.X509_VNC, anonymous: false, inner: "vnc" },
  { code: VENCRYPT.X509_NONE, anonymous: false, inner: "none" },
  { code: VENCRYPT.TLS_PLAIN, anonymous: true, inner: "plain" },
  { code: VENCRYPT.TLS_VNC, anonymous: true, inner: "vnc" },
  { code: VENCRYPT.TLS_NONE, anonymous: true, inner: "none" },
];

const MAX_NAME_BYTES = 64 * 1024;
const MAX_REASON_BYTES = 1024;
/** Before the name: width, height, pixel format, the name's length. */
const INIT_BYTES = 24;
const SHARED = 1;

/** ServerInit as it came. Throws RfbError with what the server wants that there is not. */
export function* login(options: LoginOptions): Reading<Buffer> {
  const { send } = options;
  const version = agreedMinor(yield VERSION_BYTES, "the screen");
  send(version === 8 ? Buffer.from(GREETING) : Buffer.from(`RFB 003.00${version}\n`));
  const type = yield* version === 3 ? given() : chosen(options);
  if (type === SECURITY.VENCRYPT) yield* vencrypt(options);
  else if (type === SECURITY.VNC) yield* vncAuth(options);
  if (type !== SECURITY.NONE || version === 8) yield* result(version === 8);
  send(Buffer.from([SHARED]));
  const init = yield INIT_BYTES;
  const length = init.readUInt32BE(INIT_BYTES - 4);
  if (length > MAX_NAME_BYTES) throw new RfbError("the screen's name is too long");
  return Buffer.concat([init, yield length]);
}

/** The type that a server of 3.3 has decided on. */
function* given(): Reading<number> {
  const type = (yield 4).readUInt32BE(0);
  if (type === SECURITY.INVALID) throw new RfbError(`the screen refused: ${yield* reason()}`);
  if (type !== SECURITY.NONE && type !== SECURITY.VNC) throw new RfbError(`the screen wants security type ${type}`);
  return type;
}

/** The best of the types that the server offers. */
function* chosen({ send, password }: LoginOptions): Reading<number> {
  const count = (yield 1).readUInt8(0);
  if (count === 0) throw new RfbError(`the screen refused: ${yield* reason()}`);
  const offered = [...(yield count)];
  const ours = [SECURITY.VENCRYPT, ...(password === null ? [] : [SECURITY.VNC]), SECURITY.NONE];
  const type = ours.find((one) => offered.includes(one));
  if (type === undefined) {
    if (offered.includes(SECURITY.VNC)) throw new RfbError("the screen wants a password, and the host has none for it");
    throw new RfbError(`the screen offers security types ${offered.join(", ")} only`);
  }
  send(Buffer.from([type]));
  return type;
}

function* vncAuth({ send, password }: LoginOptions): Reading<void> {
  if (password === null) throw new RfbError("the screen wants a password, and the host has none for it");
  send(vncResponse(password, yield CHALLENGE_BYTES));
}

function* vencrypt(options: LoginOptions): Reading<void> {
  const { send, startTls, username, password } = options;
  const version = (yield 2).readUInt16BE(0);
  if (version < 2) throw new RfbError("the screen speaks an old VeNCrypt");
  send(Buffer.from([0, 2]));
  if ((yield 1).readUInt8(0) !== 0) throw new RfbError("the screen does not speak VeNCrypt 0.2");
  const count = (yield 1).readUInt8(0);
  const list = yield count * 4;
  const offered = new Set(Array.from({ length: count }, (_, at) => list.readUInt32BE(at * 4)));
  const can = { none: true, vnc: password !== null, plain: username !== null && password !== null };
  const best = SUBTYPES.find(({ code, inner }) => offered.has(code) && can[inner]);
  if (best === undefined) {
    throw new RfbError(`the screen wants VeNCrypt ${[...offered].join(", ")}, and the host has no credentials for it`);
  }
  const code = Buffer.alloc(4);
  code.writeUInt32BE(best.code, 0);
  send(code);
  if ((yield 1).readUInt8(0) !== 1) throw new RfbError("the screen refused VeNCrypt");
  startTls({ anonymous: best.anonymous });
  if (best.inner === "vnc") yield* vncAuth(options);
  if (best.inner === "plain") send(plain(username ?? "", password ?? ""));
}

function plain(username: string, password: string): Buffer {
  const [user, secret] = [Buffer.from(username), Buffer.from(password)];
  const lengths = Buffer.alloc(8);
  lengths.writeUInt32BE(user.length, 0);
  lengths.writeUInt32BE(secret.length, 4);
  return Buffer.concat([lengths, user, secret]);
}

function* result(withReason: boolean): Reading<void> {
  if ((yield 4).readUInt32BE(0) === 0) return;
  const why = withReason ? `: ${yield* reason()}` : "";
  throw new RfbError(`the screen did not take the host's credentials${why}`);
}

function* reason(): Reading<string> {
  const length = (yield 4).readUInt32BE(0);
  const text = yield Math.min(length, MAX_REASON_BYTES);
  return text.toString("utf8").replace(/[^\x20-\x7e]/g, " ");
}
