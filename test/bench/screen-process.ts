/**
 * A stand-in for a VNC server, on a UNIX socket: it leads in who comes, sends fences back as all VNC servers do, and
 * does what a text of the clipboard orders: `push 65536` pushes so many bytes of updates.
 */
import { createServer, type Socket } from "node:net";
import { ByteFeed, type Reading } from "../../agent/rfb/byte-feed.ts";
import { handshake } from "../../agent/rfb/handshake.ts";
import { SERVER_INIT } from "../rfb-peers.ts";
import { childOptions, serveParent } from "./child.ts";

const CHUNK_BYTES = 64 * 1024;
const HEAD_BYTES = 16;
/** An update of one raw rectangle, a line high. */
const CHUNK = Buffer.alloc(CHUNK_BYTES, 0x5a);
CHUNK.set([0, 0, 0, 1, 0, 0, 0, 0]);
CHUNK.writeUInt16BE((CHUNK_BYTES - HEAD_BYTES) / 4, 8);
CHUNK.writeUInt16BE(1, 10);
CHUNK.writeInt32BE(0, 12);

const CUT_TEXT = 6;
const FENCE = 248;

const { path } = childOptions<{ path: string }>();
/** The socket that was last told to push. */
let pushing: Socket | null = null;

function* serve(socket: Socket): Reading<void> {
  yield* handshake((bytes) => socket.write(bytes), SERVER_INIT);
  for (;;) {
    const lead = yield 8;
    if (lead[0] === FENCE) {
      const length = yield 1;
      socket.write(Buffer.concat([lead, length, yield length.readUInt8(0)]));
    } else if (lead[0] === CUT_TEXT) {
      const [what, count] = (yield lead.readUInt32BE(4)).toString().split(" ");
      if (what === "push") push(socket, Number(count));
    } else {
      throw new Error(`message ${lead[0]} was not expected`);
    }
  }
}

const server = createServer((socket) => {
  socket.setNoDelay(true);
  socket.on("error", () => undefined);
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
  serveParent({}, { answers: { pushed: () => (pushing ? pushing.bytesWritten - pushing.writableLength : 0) } });
});
