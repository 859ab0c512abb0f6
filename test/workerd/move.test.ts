import { createExecutionContext, env, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import worker from "../../functions/index.ts";
import { signMoveTicket } from "../../functions/move/ticket.ts";
import { MAX_MOVE_STREAMS, MOVE_CLOSE } from "../../functions/protocol/move.ts";
import { until } from "./scripted-agent.ts";

type Side = "source" | "destination";
const LIFE_S = 60;

const ticketOf = (migration: string, side: Side) => signMoveTicket(env, { migration, side }, LIFE_S);

function ask(path: string, ticket: string, headers: Record<string, string> = { upgrade: "websocket" }) {
  const request = new Request<unknown, IncomingRequestCfProperties>(`http://edge/agent/v1/moves/${path}`, {
    headers: { authorization: `Bearer ${ticket}`, ...headers },
  });
  return worker.fetch(request, env, createExecutionContext());
}

/** One end that is let in, and what it hears. */
async function end(migration: string, side: Side, stream = 0) {
  const { status, webSocket } = await ask(`${migration}/${stream}`, await ticketOf(migration, side));
  expect(status).toBe(101);
  if (!webSocket) throw new Error("no socket");
  const heard: string[] = [];
  let closed: number | null = null;
  webSocket.addEventListener("message", ({ data }) => void heard.push(String(data)));
  webSocket.addEventListener("close", ({ code }) => {
    closed = code;
  });
  webSocket.accept();
  return { webSocket, heard, closed: () => closed };
}

describe("the pipe between two hosts", () => {
  it("joins the two ends of each stream, and no others", async () => {
    const migration = crypto.randomUUID();
    const one = await end(migration, "source", 1);
    const two = await end(migration, "source", 2);
    const elsewhere = await end(crypto.randomUUID(), "destination", 1);
    const ones = await end(migration, "destination", 1);
    const twos = await end(migration, "destination", 2);
    one.webSocket.send("first");
    twos.webSocket.send("back");
    await until(() => ones.heard.length === 1 && two.heard.length === 1, "both have come");
    expect([ones.heard, two.heard]).toEqual([["first"], ["back"]]);
    expect([one.heard, twos.heard, elsewhere.heard]).toEqual([[], [], []]);
  });

  it("hands on what was sent before the other end came, and how a stream was closed", async () => {
    const migration = crypto.randomUUID();
    const source = await end(migration, "source");
    source.webSocket.send("early");
    const destination = await end(migration, "destination");
    await until(() => destination.heard.length === 1, "it has come");
    source.webSocket.close(4001, "over");
    await until(destination.closed, "the end");
    expect(destination.closed()).toBe(4001);
  });

  it("has an end that dials again take the place of its first, not be joined with it", async () => {
    const migration = crypto.randomUUID();
    const given_up = await end(migration, "source");
    const again = await end(migration, "source");
    await until(given_up.closed, "the first is closed");
    expect(given_up.closed()).toBe(MOVE_CLOSE.OVER);
    const destination = await end(migration, "destination");
    again.webSocket.send("hello");
    await until(() => destination.heard.length === 1, "it has come");
    expect(given_up.heard).toEqual([]);
  });

  it("tells an end that stays alone so", async () => {
    const alone = await end(crypto.randomUUID(), "destination", 3);
    await until(alone.closed, "it is told", 20_000);
    expect(alone.closed()).toBe(MOVE_CLOSE.ALONE);
  }, 25_000);

  it("ends with its move, and lets nobody in again", async () => {
    const migration = crypto.randomUUID();
    const [source, destination] = [await end(migration, "source"), await end(migration, "destination")];
    const alone = await end(migration, "source", 1);
    await env.MOVE.getByName(migration).end();
    await until(() => alone.closed() !== null, "who waits is told");
    expect([alone.closed(), source.closed()]).toEqual([MOVE_CLOSE.OVER, null]);
    for (const side of ["source", "destination"] as const) {
      expect((await ask(`${migration}/0`, await ticketOf(migration, side))).status).toBe(410);
    }
    await env.MOVE.getByName(migration).end();
    expect(await runDurableObjectAlarm(env.MOVE.getByName(migration))).toBe(true);
    await until(() => source.closed() !== null && destination.closed() !== null, "both ends are cut");
    expect((await ask(`${migration}/0`, await ticketOf(migration, "source"))).status).toBe(410);
    expect(await runDurableObjectAlarm(env.MOVE.getByName(migration))).toBe(true);
    expect(await runInDurableObject(env.MOVE.getByName(migration), (_, { storage }) => storage.kv.get("state"))).toBe(
      undefined,
    );
  });

  it("stores nothing while it lasts", async () => {
    const migration = crypto.randomUUID();
    const size = () => runInDurableObject(env.MOVE.getByName(migration), (_, { storage }) => storage.sql.databaseSize);
    const before = await size();
    await end(migration, "source");
    await end(migration, "destination");
    expect(await size()).toBe(before);
  });
});

describe("who is let in", () => {
  it("is no one without a ticket of this migration, and all are told so in the same words", async () => {
    const migration = crypto.randomUUID();
    const good = await ticketOf(migration, "source");
    const bad = [
      "",
      "x.y.z",
      `${good.slice(0, -3)}abc`,
      await ticketOf(crypto.randomUUID(), "source"),
      await signMoveTicket(env, { migration, side: "source" }, -10),
      await signMoveTicket(
        { ...env, TOKEN_KEY: btoa("0".repeat(32)).replace(/=+$/, "") },
        { migration, side: "source" },
        LIFE_S,
      ),
    ];
    const answers = await Promise.all(bad.map((ticket) => ask(`${migration}/0`, ticket)));
    const said = await Promise.all(answers.map(async (answer) => `${answer.status} ${await answer.text()}`));
    expect(new Set(said).size).toBe(1);
    expect(said[0]).toMatch(/^401 /);
    expect((await ask(`${migration}/0`, good)).status).toBe(101);
  });

  it("comes to a stream that there can be, by an upgrade", async () => {
    const migration = crypto.randomUUID();
    const good = await ticketOf(migration, "source");
    for (const stream of [String(MAX_MOVE_STREAMS), "-1", "x", "1e0", "001"]) {
      expect((await ask(`${migration}/${stream}`, good)).status, stream).toBe(401);
    }
    expect((await ask(`${migration}/${MAX_MOVE_STREAMS - 1}`, good)).status).toBe(101);
    expect((await ask(`${migration}/0`, good, {})).status).toBe(426);
  });
});
