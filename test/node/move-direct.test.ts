/** Where hosts listen for guests that come straight from others: what strangers get there. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import fc from "fast-check";
import { beforeEach, expect, it, onTestFinished } from "vitest";
import { DirectListener, dialDirect } from "../../agent/move/direct.ts";
import { FIRST_BYTES, initiate, newNonce } from "../../agent/move/handshake.ts";
import { recordingLog, until } from "./agent-support.ts";
import { newSigner } from "./move-hosts.ts";

let listener: DirectListener;
let logged: ReturnType<typeof recordingLog>;
beforeEach(async () => {
  logged = recordingLog();
  listener = await DirectListener.start("127.0.0.1", 0, logged.log);
  onTestFinished(() => listener.stop());
});

const opening = () => ({ migration: crypto.randomUUID(), stream: 1, nonce: newNonce() });
const first = (one: ReturnType<typeof opening>) =>
  initiate(one, { signer: newSigner(), peerKey: newSigner().publicKey }).first;

async function come(): Promise<Socket> {
  const socket = connect(listener.port, "127.0.0.1");
  onTestFinished(() => void socket.destroy());
  socket.on("error", () => undefined).resume();
  await once(socket, "connect");
  return socket;
}

it("is given who says that it is expected, with what it said", async () => {
  const one = opening();
  const expected = listener.expect(one, AbortSignal.timeout(5000));
  const socket = await come();
  socket.write(first(one));
  const arrival = await expected;
  expect(arrival.first).toHaveLength(FIRST_BYTES);
  arrival.socket.destroy();
});

it("keeps one that is a little early for who is to expect it", async () => {
  const one = opening();
  (await come()).write(first(one));
  // One that came after it has been read: so it has been, too.
  const after = await come();
  after.write(Buffer.alloc(FIRST_BYTES));
  await once(after, "close");
  const arrival = await listener.expect(one, AbortSignal.timeout(5000));
  expect(arrival.first.equals(first(one))).toBe(false);
  expect(arrival.first.subarray(0, 41).equals(first(one).subarray(0, 41))).toBe(true);
  arrival.socket.destroy();
});

it("lets go of who says nothing, too little, or what nobody expects", async () => {
  const [silent, slow, unknown] = [await come(), await come(), await come()];
  slow.write(first(opening()).subarray(0, 40));
  unknown.write(first(opening()));
  await Promise.all([silent, slow, unknown].map((socket) => socket.closed || once(socket, "close")));
  expect(logged.events()).toEqual(["move.stranger"]);
});

it("lets go at once of who says rubbish, whatever it is", async () => {
  const rubbish = fc.uint8Array({ minLength: FIRST_BYTES, maxLength: 4 * FIRST_BYTES });
  await fc.assert(
    fc.asyncProperty(rubbish, async (bytes) => {
      const socket = await come();
      socket.write(bytes);
      if (!socket.closed) await once(socket, "close");
    }),
    { numRuns: 20 },
  );
  expect(logged.lines.every(({ message }) => message === "it does not say what it comes for")).toBe(true);
});

it("has room for so many strangers and no more", async () => {
  const sockets = await Promise.all(Array.from({ length: 80 }, come));
  await until(() => sockets.filter(({ closed }) => closed).length >= 16, "those that are too many are let go");
  expect(logged.lines[0]).toMatchObject({ event: "move.stranger", message: "too many come at a time" });
  for (const socket of sockets) socket.destroy();
});

it("cannot be where another already listens, and says so", async () => {
  const again = DirectListener.start("127.0.0.1", listener.port, logged.log);
  await expect(again).rejects.toThrow(
    `cannot listen on migration_inbound_addr 127.0.0.1, port ${listener.port}: EADDRINUSE`,
  );
});

it("is dialled no longer than the signal lets it", async () => {
  const reason = new Error("late");
  await expect(dialDirect({ address: "192.0.2.1", port: 9 }, AbortSignal.abort(reason))).rejects.toBe(reason);
  const late = AbortSignal.timeout(50);
  await expect(dialDirect({ address: "192.0.2.1", port: 9 }, late)).rejects.toThrow();
});
