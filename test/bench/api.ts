/** The API of an edge with one host of the fake driver: how long an answer takes, and how many there are in a second. */
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { demoImage, login } from "../edge.ts";
import { percentile, timed } from "./statistics.ts";
import { number } from "./table.ts";
import { type Ground, startEdge } from "./target.ts";

const LISTED = 8;
const WIDTHS = [1, 8] as const;
const POLL_MS = 5;
const ACTIVE_TIMEOUT_MS = 20_000;

const created = z.object({ server: z.object({ id: z.string() }) });
const shown = z.object({ server: z.object({ status: z.string() }) });

type Api = {
  /** Rejects when the answer is not a success. */
  call(method: string, path: string, body?: unknown): Promise<unknown>;
  image: string;
};

export const api = {
  name: "api",
  about: (quick: boolean) =>
    `${reads(quick)} requests each, ${creates(quick)} for new servers; one host with the fake driver; polled every ${POLL_MS} ms for ACTIVE`,
  /** The table's rows, its head first. */
  async run(ground: Ground, quick: boolean): Promise<string[][]> {
    const edge = await startEdge(ground, null);
    try {
      const api = await client(edge.url, await demoImage(edge.cloud));
      return [
        ["API", ...WIDTHS.flatMap((width) => [`${width} at a time: p50`, "p99", "rate"])],
        ...(await measureAll(api, quick)),
      ];
    } finally {
      await edge.stop();
    }
  },
};

const reads = (quick: boolean) => (quick ? 40 : 400);
const creates = (quick: boolean) => (quick ? 8 : 40);

async function client(url: string, image: string): Promise<Api> {
  const headers = {
    "x-auth-token": await login(url),
    "content-type": "application/json",
    "openstack-api-version": "compute 2.61",
  };
  return {
    image,
    async call(method, path, body) {
      const init = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
      const response = await fetch(`${url}/compute/v2.1${path}`, init);
      const text = await response.text();
      if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text.slice(0, 200)}`);
      return text === "" ? null : JSON.parse(text);
    },
  };
}

/** Lists first, so that there are as many servers as is said. */
async function measureAll(api: Api, quick: boolean): Promise<string[][]> {
  const ids: string[] = [];
  for (let i = 0; i < LISTED; i++) ids.push(await createActive(api, `listed-${i}`));
  const [first] = ids;
  const screen = { remote_console: { protocol: "vnc", type: "novnc" } };
  return [
    await measure("GET /servers/{id}", reads(quick), () => api.call("GET", `/servers/${first}`)),
    await measure(`GET /servers/detail, ${LISTED} servers`, reads(quick), () => api.call("GET", "/servers/detail")),
    await measure("POST remote-consoles", reads(quick), () =>
      api.call("POST", `/servers/${first}/remote-consoles`, screen),
    ),
    await measure("POST /servers, the answer", creates(quick), (i) => create(api, `answered-${i}`)),
    await measure("POST /servers, until ACTIVE", creates(quick), (i) => createActive(api, `active-${i}`)),
  ];
}

async function measure(what: string, count: number, task: (index: number) => Promise<unknown>): Promise<string[]> {
  // Warm-up.
  await timed(Math.min(count / 4, 10), 1, task);
  const row = [what];
  for (const width of WIDTHS) {
    const { ms, seconds } = await timed(count, width, task);
    const [p50, p99] = [percentile(ms, 0.5), percentile(ms, 0.99)];
    row.push(`${number(p50)} ms`, `${number(p99)} ms`, `${number(count / seconds)} /s`);
  }
  return row;
}

async function create(api: Api, name: string): Promise<string> {
  const server = { name, imageRef: api.image, flavorRef: "1", networks: "none" };
  return created.parse(await api.call("POST", "/servers", { server })).server.id;
}

async function createActive(api: Api, name: string): Promise<string> {
  const id = await create(api, name);
  for (const deadline = Date.now() + ACTIVE_TIMEOUT_MS; ; await sleep(POLL_MS)) {
    const { status } = shown.parse(await api.call("GET", `/servers/${id}`)).server;
    if (status === "ACTIVE") return id;
    if (status !== "BUILD" || Date.now() > deadline) throw new Error(`server ${name} is ${status}`);
  }
}
