import { expect, it } from "vitest";
import { joinAgent } from "../../functions/console/splice.ts";
import { CONSOLE_CLOSE, GO, HOLD } from "../../functions/protocol/console.ts";
import { until } from "./scripted-agent.ts";

const CHUNK = new Uint8Array(64 * 1024).fill(7);

/** A browser that is not reading yet, joined by the relay to an agent that is. */
function relayed() {
  const { 0: browser, 1: far } = new WebSocketPair();
  const agent = joinAgent("relay", far);
  const orders: string[] = [];
  let closed: number | null = null;
  agent.addEventListener("message", ({ data }) => void orders.push(String(data)));
  agent.addEventListener("close", ({ code }) => {
    closed = code;
  });
  agent.accept();
  return { browser, agent, orders, closed: () => closed };
}

it("a relay has the agent hold while its reader stalls, and go on when it reads", async () => {
  const { browser, agent, orders, closed } = relayed();
  for (let sent = 0; sent < 32; sent++) agent.send(CHUNK);
  await until(() => orders.length === 1, "the agent is asked to hold");
  expect(orders).toEqual([HOLD]);
  let arrived = 0;
  browser.binaryType = "arraybuffer";
  browser.addEventListener("message", ({ data }) => {
    arrived += (data as ArrayBuffer).byteLength;
  });
  browser.accept();
  await until(() => orders.length === 2, "the agent may go on");
  expect(orders).toEqual([HOLD, GO]);
  await until(() => arrived === 32 * CHUNK.length, "all of it has come");
  expect(closed()).toBeNull();
});

it("a relay ends when an agent does not hold, before it fills the object's memory", async () => {
  const { agent, closed } = relayed();
  for (let sent = 0; sent < 200 && closed() === null; sent++) agent.send(CHUNK);
  await until(closed, "the session has ended");
  expect(closed()).toBe(CONSOLE_CLOSE.TOO_SLOW);
});
