/**
 * Memory for what is read from VNC servers, used again and again: a new buffer for each read, as Node does it, costs
 * more in garbage collection than all the copying.
 */

/** One read's most, and so a frame's: what libuv itself would read at once. */
const BUFFER_BYTES = 64 * 1024;
/** Below this, bytes are copied out: a few of them, waiting for a slow viewer, must not hold a whole buffer. */
const SMALL_BYTES = 8 * 1024;
/** Buffers kept by the process for the next read of any session. */
const MAX_FREE = 32;

const free: Buffer[] = [];

/** Takes one read. From `done` on, which is called once, the bytes may be overwritten. */
export type Reader = (bytes: Buffer, done: () => void) => void;

/** What `net.connect` takes as `onread`: hands each read to `reader`. */
export function pooledReads(reader: Reader): {
  buffer: () => Uint8Array;
  callback: (length: number, buffer: Uint8Array) => boolean;
} {
  let current: Buffer | null = null;
  return {
    buffer() {
      current ??= free.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES);
      return current;
    },
    callback(length) {
      if (current === null) return true;
      const bytes = current.subarray(0, length);
      if (length < SMALL_BYTES) {
        reader(Buffer.from(bytes), () => undefined);
        return true;
      }
      const taken = current;
      current = null;
      reader(bytes, () => {
        if (free.length < MAX_FREE) free.push(taken);
      });
      return true;
    },
  };
}
