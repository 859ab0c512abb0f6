/** What goes between this process and an edge. */
import { subscribe } from "node:diagnostics_channel";
import type { Socket } from "node:net";

/** Counts from now on; the answer is the bytes so far, both ways. */
export function countEdgeBytes(edge: string): () => number {
  const port = Number(new URL(edge).port);
  const sockets = new Set<Socket>();
  subscribe("net.client.socket", (message) => {
    const { socket } = message as { socket: Socket };
    socket.once("connect", () => {
      if (socket.remotePort === port) sockets.add(socket);
    });
  });
  return () => [...sockets].reduce((sum, { bytesRead, bytesWritten }) => sum + bytesRead + bytesWritten, 0);
}
