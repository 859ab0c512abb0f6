/**
 * A stand-in for a VNC server, on a UNIX socket: it leads in who comes, sends fences back as all VNC servers do, and
 * does what a text of the clipboard orders: `push 65536` pushes so many bytes of updates. Its screen is grey but for a
 * block in the corner, which changes between black and white with each key, and many times a second while it plays. In
 * the block's first two pixels is the moment of the change.
 */
import { createServer, type Socket } from "node:net";
import { ByteFeed, type Reading } from "../../agent/rfb/byte-feed.ts";
import { handshake } from "../../agent/rfb/handshake.ts";
import { FROM_VIEWER } from "../../agent/rfb/wire.ts";
import { SERVER_INIT } from "../rfb-peers.ts";
import { childOptions, serveParent } from "./child.ts";
import { now } from "./clock.ts";

const CHUNK_BYTES = 64 * 1024;
const HEAD_BYTES = 16;
const WIDTH = 640;
const HEIGHT = 480;
const BLOCK = 128;
const GREY = 0x5a;
const PLAY_HZ = 30;

/** An update of one raw rectangle, in the upper left, of one shade; some viewers take the fourth byte as alpha. */
function update(width: number, height: number, shade: number): Buffer {
  const bytes = Buffer.alloc(HEAD_BYTES + width * height * 4);
  bytes.fill(Buffer.from([shade, shade, shade, 255]), HEAD_BYTES);
  bytes.writeUInt16BE(1, 2);
  bytes.writeUInt16BE(width, 8);
  bytes.writeUInt16BE(height, 10);
  return bytes;
}

const CHUNK = update((CHUNK_BYTES - HEAD_BYTES) / 4, 1, GREY);
const PICTURE = update(WIDTH, HEIGHT, GREY);

const { path } = childOptions<{ path: string }>();
/** The socket that was last told to push. */
let pushing: Socket | null = null;
let moves = 0;
let block = update(BLOCK, BLOCK, GREY);
/** How many moves those have seen who watch. */
const seen = new WeakMap<Socket, number>();
/** Those who wait for the next. */
const waiting = new Set<Socket>();
let playing: NodeJS.Timeout | undefined;

function move(): void {
  moves++;
  block = update(BLOCK, BLOCK, moves % 2 === 0 ? 0 : 255);
  block.writeDoubleBE(now(), HEAD_BYTES);
  for (const socket of waiting) show(socket, block);
}

function show(socket: Socket, what: Buffer): void {
  waiting.delete(socket);
  seen.set(socket, moves);
  socket.write(what);
}

function* serve(socket: Socket): Reading<void> {
  yield* handshake((bytes) => socket.write(bytes), SERVER_INIT);
  for (;;) {
    const type = (yield 1).readUInt8(0);
    switch (type) {
      case FROM_VIEWER.SET_PIXEL_FORMAT:
        yield 19; // Black, white and grey are the same in all of 32 bits.
        break;
      case FROM_VIEWER.SET_ENCODINGS:
        yield 4 * (yield 3).readUInt16BE(1);
        break;
      case FROM_VIEWER.UPDATE_REQUEST:
        if ((yield 9).readUInt8(0) === 0) show(socket, PICTURE);
        else if (seen.get(socket) !== moves) show(socket, block);
        else waiting.add(socket);
        break;
      case FROM_VIEWER.KEY:
        if ((yield 7).readUInt8(0) === 1) move();
        break;
      case FROM_VIEWER.POINTER:
        yield 5;
        break;
      case FROM_VIEWER.FENCE: {
        const head = yield 8;
        socket.write(Buffer.concat([Buffer.from([type]), head, yield head.readUInt8(7)]));
        break;
      }
      case FROM_VIEWER.CUT_TEXT: {
        const [what, count] = (yield (yield 7).readUInt32BE(3)).toString().split(" ");
        if (what === "push") push(socket, Number(count));
        break;
      }
      default:
        throw new Error(`message ${type} was not expected`);
    }
  }
}

const server = createServer((socket) => {
  socket.setNoDelay(true);
  socket.on("error", () => undefined);
  socket.once("close", () => waiting.delete(socket));
  const feed = new ByteFeed(serve(socket));
  socket.on("data", (bytes: Buffer) => feed.push(bytes));
});

function push(socket: Socket, count: number): void {
  pushing = socket;
  let left = count;
  const more = () => {
    while (left > 0 && socket.writable) {
      left -= CHUNK.length;
      if (!socket.write(CHUNK)) return void socket.once("drain", more);
    }
  };
  more();
}

server.listen(path, 1024, () => {
  serveParent(
    {},
    {
      answers: {
        pushed: () => (pushing ? pushing.bytesWritten - pushing.writableLength : 0),
        play: () => {
          playing ??= setInterval(move, 1000 / PLAY_HZ);
        },
        rest: () => {
          clearInterval(playing);
          playing = undefined;
        },
      },
    },
  );
});
