/** Both ends of an RFB session up to ServerInit, for tests of what stands between. */
import { encodePixelFormat, NATIVE_FORMAT } from "../agent/drivers/fake/pixel-format.ts";

export const GREETING = "RFB 003.008\n";
const NAME = "a screen";

/** 640 x 480, 32 bits. */
export const SERVER_INIT = Buffer.concat([
  Buffer.from([640 >> 8, 640 & 255, 480 >> 8, 480 & 255]),
  encodePixelFormat(NATIVE_FORMAT),
  Buffer.from([0, 0, 0, NAME.length]),
  Buffer.from(NAME),
]);
/** What a viewer has received when it is led in. */
export const WELCOME = Buffer.concat([Buffer.from(GREETING), Buffer.from([1, 1, 0, 0, 0, 0]), SERVER_INIT]);
/** What a viewer says until then. */
export const HELLO = Buffer.concat([Buffer.from(GREETING), Buffer.from([1, 1])]);

/** The order to the bench's stand-in to push so many bytes: a text of the clipboard. */
export function orderText(count: number): Buffer {
  const text = `push ${count}`;
  return Buffer.concat([Buffer.from([6, 0, 0, 0, 0, 0, 0, text.length]), Buffer.from(text)]);
}

const bytes = (...list: number[]) => Buffer.from(list);
const lengthed = (head: number[], length: number, body: Buffer) => {
  const size = Buffer.alloc(4);
  size.writeInt32BE(length, 0);
  return Buffer.concat([bytes(...head), size, body]);
};

/** One of every message that a viewer may send, by what right it takes. */
export const VIEWER_MESSAGES = {
  watch: [
    bytes(0, 0, 0, 0, ...encodePixelFormat(NATIVE_FORMAT)),
    bytes(2, 0, 0, 2, 0, 0, 0, 16, 0, 0, 0, 0),
    bytes(3, 0, 0, 0, 0, 0, 2, 128, 1, 224),
    bytes(150, 1, 0, 0, 0, 0, 2, 128, 1, 224),
    bytes(248, 0, 0, 0, 0, 0, 0, 1, 3, 7, 8, 9),
    bytes(248, 0, 0, 0, 0, 0, 0, 1, 0),
  ],
  input: [
    bytes(4, 1, 0, 0, 0, 0, 0, 97),
    bytes(5, 1, 0, 10, 0, 20),
    bytes(255, 0, 0, 1, 0, 0, 0, 97, 0, 0, 0, 30),
    bytes(251, 0, 3, 32, 2, 88, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 3, 32, 2, 88, 0, 0, 0, 0),
  ],
  clipboard: [
    lengthed([6, 0, 0, 0], 5, Buffer.from("hello")),
    lengthed([6, 0, 0, 0], -8, Buffer.from("\x10\0\0\x01text", "latin1")),
  ],
  never: [bytes(250, 0, 1, 2)],
} as const;
