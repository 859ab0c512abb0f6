/**
 * XDR (RFC 4506), the encoding of libvirt's RPC: big-endian, every item padded to four bytes.
 *
 * The reader trusts no length: an item that reaches past the message, or that is longer than its type allows, is an
 * XdrError, and nothing is allocated before the check.
 */

/** Longest string libvirt sends, in bytes (remote_protocol.x: REMOTE_STRING_MAX). */
export const STRING_MAX_BYTES = 4_194_304;

/** The bytes are not what the protocol says; the connection that sent them is of no more use. */
export class XdrError extends Error {
  override name = "XdrError";
}

const padding = (length: number) => (4 - (length % 4)) % 4;

export class XdrWriter {
  readonly #parts: Buffer[] = [];

  uint(value: number): this {
    const part = Buffer.alloc(4);
    part.writeUInt32BE(value);
    this.#parts.push(part);
    return this;
  }

  int(value: number): this {
    const part = Buffer.alloc(4);
    part.writeInt32BE(value);
    this.#parts.push(part);
    return this;
  }

  /** An unsigned hyper. */
  hyper(value: number): this {
    const part = Buffer.alloc(8);
    part.writeBigUInt64BE(BigInt(value));
    this.#parts.push(part);
    return this;
  }

  /** Opaque data of a fixed length that both sides know. */
  fixed(bytes: Uint8Array): this {
    this.#parts.push(Buffer.from(bytes), Buffer.alloc(padding(bytes.length)));
    return this;
  }

  string(value: string): this {
    const bytes = Buffer.from(value, "utf8");
    if (bytes.length > STRING_MAX_BYTES) throw new XdrError(`a string of ${bytes.length} bytes is too long`);
    return this.uint(bytes.length).fixed(bytes);
  }

  /** A pointer in the .x file: absent, or one value. */
  optional<T>(value: T | null, write: (writer: this, value: T) => void): this {
    this.uint(value === null ? 0 : 1);
    if (value !== null) write(this, value);
    return this;
  }

  bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

export class XdrReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  #take(length: number): number {
    if (length > this.remaining) throw new XdrError(`wanted ${length} bytes, ${this.remaining} are left`);
    const at = this.#at;
    this.#at += length;
    return at;
  }

  uint(): number {
    return this.#bytes.readUInt32BE(this.#take(4));
  }

  int(): number {
    return this.#bytes.readInt32BE(this.#take(4));
  }

  /** An unsigned hyper. No count that libvirt sends us passes 2^53; one that does is refused, not rounded. */
  hyper(): number {
    const value = Number(this.#bytes.readBigUInt64BE(this.#take(8)));
    if (!Number.isSafeInteger(value)) throw new XdrError("a 64-bit number is out of range");
    return value;
  }

  /** A signed hyper; the same range counts. */
  signedHyper(): number {
    const value = Number(this.#bytes.readBigInt64BE(this.#take(8)));
    if (!Number.isSafeInteger(value)) throw new XdrError("a 64-bit number is out of range");
    return value;
  }

  fixed(length: number): Buffer {
    const at = this.#take(length + padding(length));
    return this.#bytes.subarray(at, at + length);
  }

  string(maxBytes: number = STRING_MAX_BYTES): string {
    const length = this.uint();
    if (length > maxBytes) throw new XdrError(`a string of ${length} bytes is too long`);
    return this.fixed(length).toString("utf8");
  }

  optional<T>(read: (reader: this) => T): T | null {
    const present = this.uint();
    if (present > 1) throw new XdrError("a pointer is neither absent nor present");
    return present === 1 ? read(this) : null;
  }

  /** A counted array. The count is checked against the bytes left (an item takes four at least) before any is read. */
  array<T>(max: number, read: (reader: this) => T): T[] {
    const count = this.uint();
    if (count > max || count * 4 > this.remaining) throw new XdrError(`an array of ${count} items is too long`);
    return Array.from({ length: count }, () => read(this));
  }
}
