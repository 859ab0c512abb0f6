/** What each operation makes the edge do, counted by an edge that counts: an operator pays for these. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { dial, tokenIn } from "../page-session.ts";
import { ApiClient } from "./api-client.ts";
import { COUNTS_PATH, type Counts, difference, sum } from "./counts.ts";
import { number } from "./table.ts";
import { type Ground, startEdge } from "./target.ts";
import { bundleWorker, COUNTED } from "./worker-bundle.ts";

const QUIET_MS = 300;
const ROUNDS = 5;
/** Enough for each of the sixteen objects that tokens are spread over to have had one. */
const CONSOLES = 100;

/** The table's rows, its head first. `long` is the length of the longest list. */
export async function cost(ground: Ground, long: number): Promise<string[][]> {
  const bundleDir = join(ground.dir, "counted");
  mkdirSync(bundleDir);
  await bundleWorker(bundleDir, COUNTED);
  const edge = await startEdge({ ...ground, bundleDir }, null);
  try {
    const api = await ApiClient.of(edge);
    const first = await api.createActive("first");
    // The objects that hold tokens are there from the first of them on.
    for (let i = 0; i < CONSOLES; i++) await api.openConsole(first);
    const row = async (what: string, task: () => Promise<unknown>) => [what, ...cells(await costOf(edge.url, task))];
    const rows = [
      await row("POST /servers, until ACTIVE", () => api.create("counted")),
      await row("GET /servers/{id}", () => api.call("GET", `/servers/${first}`)),
      await row("POST remote-consoles", () => api.openConsole(first)),
    ];
    const token = tokenIn(await edge.cloud.consoleUrl(first));
    rows.push(
      await row("a console, from its upgrade to its end", async () => {
        const screen = dial(edge, `/websockify?token=${token}`);
        await screen.client.ready();
        screen.ws.close(1000);
        await screen.end();
      }),
    );
    for (const count of [100, long]) {
      await api.fill(count);
      rows.push(await row(`GET /servers/detail, ${count} servers`, () => api.list()));
    }
    const doomed: string[] = [];
    for (let i = 0; i < ROUNDS; i++) doomed.push(await api.createActive(`doomed-${i}`));
    rows.push(await row("DELETE /servers/{id}", () => api.call("DELETE", `/servers/${doomed.pop()}`)));
    return [
      ["an operation's cost", "requests", "object calls", "rows read", "rows written", "alarms set", "new objects"],
      ...rows,
    ];
  } finally {
    await edge.stop();
  }
}

/**
 * What `task` and all that it begins make a counting edge at `url` do. A round that the edge used to renew its copy of
 * the revoked tokens, as it does every 1.5 s, is measured again: so what is counted is the same each time.
 */
export async function costOf(url: string, task: () => Promise<unknown>): Promise<Counts> {
  for (let round = 0; round < ROUNDS; round++) {
    const before = await quiet(url);
    await task();
    const counts = difference(before, await quiet(url));
    if (!("IDENTITY.revocations" in counts.calls)) return counts;
  }
  throw new Error("the edge renews its revocations all the time");
}

/** The counts once they rise no more. */
async function quiet(url: string): Promise<Counts> {
  const ask = async (): Promise<Counts> => (await fetch(`${url}${COUNTS_PATH}`)).json();
  for (let last = await ask(); ; ) {
    await sleep(QUIET_MS);
    const now = await ask();
    if (JSON.stringify(now) === JSON.stringify(last)) return now;
    last = now;
  }
}

function cells({ requests, calls, rowsRead, rowsWritten, alarmsSet, made }: Counts): string[] {
  return [requests, sum(calls), rowsRead, rowsWritten, alarmsSet, sum(made)].map((count) => number(count));
}
