/**
 * The keys and buttons that a viewer holds down. When it does not type any more, because its connection broke or another
 * took control, nobody else would lift them: a Ctrl that stays down makes the next person's letters into orders.
 */
import { FROM_VIEWER } from "../rfb/wire.ts";

/** More than a person has fingers: what is beyond is not looked after. */
const MAX_HELD = 64;
/** Where messages have what is down (RFC 6143 §7.5.4, §7.5.5; rfbproto.rst for QEMU's), and from where on what names the key. */
const BUTTONS = { at: 1, bytes: 1 };
const KEY = { at: 1, bytes: 1, name: 4 };
/** Named by the key on the keyboard: the symbol that it has may change while it is down. */
const QEMU_KEY = { at: 2, bytes: 2, name: 8 };
const NOTHING = Buffer.alloc(0);

export class HeldInput {
  /** What lifts each, by the bytes that name it. */
  readonly #keys = new Map<string, Buffer>();
  #pointer: Buffer | null = null;

  /** One whole message of a key or the pointer that goes to the screen. */
  note(message: Buffer): void {
    const type = message.readUInt8(0);
    if (type === FROM_VIEWER.KEY) this.#key(message, KEY);
    if (type === FROM_VIEWER.QEMU) this.#key(message, QEMU_KEY);
    if (type === FROM_VIEWER.POINTER) this.#pointer = message.readUInt8(1) === 0 ? null : lifted(message, BUTTONS);
  }

  /** The messages that lift all of them, which are none then. */
  lift(): Buffer {
    const messages = [...this.#keys.values(), this.#pointer ?? NOTHING];
    this.#keys.clear();
    this.#pointer = null;
    return Buffer.concat(messages);
  }

  #key(message: Buffer, { name, ...down }: typeof KEY): void {
    const key = `${message.readUInt8(0)} ${message.toString("hex", name)}`;
    if (message.readUIntBE(down.at, down.bytes) === 0) this.#keys.delete(key);
    else if (!this.#keys.has(key) && this.#keys.size < MAX_HELD) this.#keys.set(key, lifted(message, down));
  }
}

function lifted(message: Buffer, { at, bytes }: typeof BUTTONS): Buffer {
  const copy = Buffer.from(message);
  copy.writeUIntBE(0, at, bytes);
  return copy;
}
