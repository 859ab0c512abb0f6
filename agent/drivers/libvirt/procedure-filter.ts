/**
 * What a source's libvirtd may ask of this host's while a guest of its comes: no more than bringing that guest takes
 * (libvirt src/qemu/qemu_migration.c: qemuMigrationSrcPerformPeer2Peer3). A host that was broken into can bring its own
 * guests, and has no other way into this one.
 *
 *   source's libvirtd ==MoveLink==> ProcedureFilter --what passed--> our libvirtd
 *                        <----------answers, as they are-----------
 *
 * Seen of libvirt 9: AUTH_LIST, SUPPORTS_FEATURE, OPEN, close callbacks, PREPARE3, FINISH3, CLOSE, and keepalive.
 */
import { Transform, type TransformCallback } from "node:stream";
import { type Expected, wrongOf } from "./arriving-xml.ts";
import { encodeFrame, type Frame, FrameReader, KEEPALIVE_PROGRAM, REMOTE_PROGRAM, STATUS, TYPE } from "./frame.ts";
import { MIGRATE } from "./migration-procedures.ts";
import { PROC } from "./procedure-numbers.ts";
import { readStrictly } from "./strict-xml.ts";
import { readTypedParams } from "./typed-params.ts";
import { XdrReader } from "./xdr.ts";

/** Descriptions are some 10 KB each, of which a message has two at most. */
const MESSAGE_BYTES_MAX = 1 << 20;
const PARAMS_MAX = 128;

export type AwaitedGuest = Expected & {
  /** What the connection is opened with. */
  uri: string;
  /** Where this host's QEMU is to listen. */
  memoryUri: string;
  disksUri: string;
  /** Whether its disks are to come, too. */
  copiesDisks: boolean;
};

/** It asked for what it may not. */
export class Refused extends Error {
  override name = "Refused";
}

function need(holds: boolean, why: string): asserts holds {
  if (!holds) throw new Refused(why);
}

/** Passes frames, each whole. Fails with Refused, or XdrError, at the first that may not pass, and says nothing of it. */
export class ProcedureFilter extends Transform {
  readonly #guest: AwaitedGuest;
  readonly #frames = new FrameReader(MESSAGE_BYTES_MAX);

  constructor(guest: AwaitedGuest) {
    super();
    this.#guest = guest;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    try {
      for (const frame of this.#frames.push(chunk)) {
        check(frame, this.#guest);
        this.push(encodeFrame(frame));
      }
      done();
    } catch (error) {
      done(error instanceof Error ? error : new Refused(String(error)));
    }
  }
}

function check(frame: Frame, guest: AwaitedGuest): void {
  need(frame.status === STATUS.OK, "a call came with a failure");
  if (frame.program === KEEPALIVE_PROGRAM && frame.type === TYPE.MESSAGE) return;
  need(frame.program === REMOTE_PROGRAM && frame.type === TYPE.CALL, "it is no call of the remote program");
  const payload = new XdrReader(frame.payload);
  switch (frame.procedure) {
    case PROC.AUTH_LIST:
    case PROC.CONNECT_SUPPORTS_FEATURE:
    case PROC.CONNECT_REGISTER_CLOSE_CALLBACK:
    case PROC.CONNECT_UNREGISTER_CLOSE_CALLBACK:
    case PROC.CONNECT_CLOSE:
      return;
    case PROC.CONNECT_OPEN:
      need(payload.optional((r) => r.string()) === guest.uri, "it opens another connection");
      return;
    case PROC.DOMAIN_MIGRATE_PREPARE3_PARAMS:
      checkPrepare(payload, guest);
      return;
    case PROC.DOMAIN_MIGRATE_FINISH3_PARAMS:
      checkFinish(payload, guest);
      return;
    default:
      throw new Refused(`it calls procedure ${frame.procedure}`);
  }
}

const FLAGS = [
  ...[MIGRATE.LIVE, MIGRATE.PEER2PEER, MIGRATE.PERSIST_DEST, MIGRATE.UNDEFINE_SOURCE, MIGRATE.PAUSED],
  ...[MIGRATE.ABORT_ON_ERROR, MIGRATE.AUTO_CONVERGE, MIGRATE.POSTCOPY],
].reduce((all, flag) => all | flag, 0);
const COPIES_DISKS = MIGRATE.NON_SHARED_DISK | MIGRATE.NON_SHARED_INC;

function checkPrepare(payload: XdrReader, guest: AwaitedGuest): void {
  const names = checkParams(payload, guest);
  checkCookie(payload, guest);
  const flags = payload.uint();
  const may = FLAGS | (guest.copiesDisks ? COPIES_DISKS : MIGRATE.UNSAFE);
  need((flags & ~may) === 0, `it migrates with flags ${flags}`);
  // Without those libvirt takes a port, for everyone who can reach it.
  need(names.has("destination_xml") && names.has("migrate_uri"), "it does not say what is to come, and how");
  need((flags & COPIES_DISKS) === 0 || names.has("disks_uri"), "it does not say how the disks come");
}

function checkFinish(payload: XdrReader, guest: AwaitedGuest): void {
  need(checkParams(payload, guest).has("destination_name"), "it does not say which guest has come");
  checkCookie(payload, guest);
}

/** The names of those that there are. */
function checkParams(payload: XdrReader, guest: AwaitedGuest): Set<string> {
  const params = readTypedParams(payload, PARAMS_MAX);
  for (const [name, value] of params) {
    switch (name) {
      case "destination_xml":
        checkXml(value, guest);
        break;
      case "destination_name":
        need(value === guest.name, "it is of another guest");
        break;
      case "migrate_uri":
        need(value === guest.memoryUri, "its memory comes elsewhere");
        break;
      case "disks_uri":
        need(value === guest.disksUri, "its disks come elsewhere");
        break;
      case "migrate_disks":
      case "bandwidth":
        break;
      default:
        throw new Refused("it has a parameter that is unknown here");
    }
  }
  return new Set(params.map(([name]) => name));
}

function checkXml(value: unknown, guest: AwaitedGuest): void {
  const why = typeof value === "string" ? wrongOf(value, guest) : "it is no text";
  if (why !== null) throw new Refused(`the guest's description is not what it is to be: ${why}`);
}

const COOKIE = "qemu-migration";
/** What a host tells the other beside: names, sizes, counts, what it can; none of them are paths. */
const COOKIE_PARTS =
  /^qemu-migration(\/(name|uuid|hostname|hostuuid|allowReboot|feature|lockstate|(nbd|statistics|capabilities|cpu)(\/.+)?|network(\/interface)?|graphics(\/cert)?))?$/;

/** The stored description of the guest comes in it, by which it will be started another time. */
function checkCookie(payload: XdrReader, guest: AwaitedGuest): void {
  const cookie = payload.string().replace(/\0$/, "");
  if (cookie === "") return;
  const elements = readStrictly(cookie);
  need(elements?.[0]?.path === COOKIE, "its cookie is no plain XML");
  for (const { path, attributes, start, end } of elements) {
    if (path === `${COOKIE}/domain`) checkXml(cookie.slice(start, end), guest);
    if (`${path}/`.startsWith(`${COOKIE}/domain/`)) continue;
    need(COOKIE_PARTS.test(path), `its cookie has ${path}`);
    for (const name of Object.keys(attributes)) need(!/^xmlns|:/.test(name), "its cookie has a namespace");
  }
}
