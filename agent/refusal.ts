/** An upgrade that the edge answered with something else than 101. */
import type { IncomingMessage } from "node:http";
import type { WebSocket } from "ws";
import { explainRefusal } from "./edge.ts";

const MAX_BODY_BYTES = 4096;

export type Refusal = { status: number; why: string };

/** Calls back once when the edge refuses this socket's upgrade, and then lets the socket go. */
export function onRefusal(ws: WebSocket, refused: (refusal: Refusal) => void): void {
  ws.on("unexpected-response", (_request, response: IncomingMessage) => {
    let body = "";
    let told = false;
    const finish = () => {
      if (told) return;
      told = true;
      const status = response.statusCode ?? 0;
      refused({ status, why: explainRefusal({ status, date: response.headers.date ?? null, body }, Date.now()) });
      ws.terminate();
    };
    response.setEncoding("utf8");
    response.on("data", (chunk: string) => {
      body += chunk;
      if (body.length > MAX_BODY_BYTES) finish();
    });
    for (const event of ["end", "close", "error"]) response.on(event, finish);
  });
}
