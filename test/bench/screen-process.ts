/**
 * A stand-in for a VNC server, on a UNIX socket: it greets, and then does what the viewer orders in its first five
 * bytes: `E` echoes, `P` and a count pushes so many bytes, `I` and all else sits idle.
 */
import { createServer, type Socket } from "node:net";
import { childOptions, serveParent } from "./child.ts";

const CHUNK = Buffer.alloc(64 * 1024, 0x5a);
const ORDER_BYTES = 5;

const { path } = childOptions<{ path: string }>();
/** The socket that was last told to push. */
let pushing: Socket | null = null;

const server = createServer((socket) => {
  socket.setNoDelay(true);
  socket.on("error", () => undefined);
  let order = Buffer.alloc(0);
  const onOrder = (bytes: Buffer) => {
    order = Buffer.concat([order, bytes]);
    if (order.length < ORDER_BYTES) return;
    socket.off("data", onOrder);
    const rest = order.subarray(ORDER_BYTES);
    if (order[0] === "E".charCodeAt(0)) {
      if (rest.length > 0) socket.write(rest);
      socket.on("data", (chunk) => socket.write(chunk));
      return;
    }
    socket.resume();
    if (order[0] === "P".charCodeAt(0)) push(socket, order.readUInt32BE(1));
  };
  socket.on("data", onOrder);
  socket.write("RFB 003.008\n");
});

function push(socket: Socket, count: number): void {
  pushing = socket;
  let left = count;
  const more = () => {
    while (left > 0 && socket.writable) {
      const chunk = CHUNK.subarray(0, Math.min(left, CHUNK.length));
      left -= chunk.length;
      if (!socket.write(chunk)) return void socket.once("drain", more);
    }
  };
  more();
}

server.listen(path, 1024, () => {
  serveParent({}, { answers: { pushed: () => (pushing ? pushing.bytesWritten - pushing.writableLength : 0) } });
});
