/** An agent that a test plays by hand: properly enrolled, it then says to the edge whatever the test likes. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WebSocket } from "ws";
import { enroll } from "../../agent/enroll.ts";
import { type Identity, loadIdentity } from "../../agent/identity.ts";
import type { CallFrame, FromAgent, Outcome, ToAgent } from "../../functions/protocol/frames.ts";
import type { Inventory } from "../../functions/protocol/guest.ts";
import { type TestEdge, until } from "../edge.ts";

export type Closed = { code: number; reason: string };

export class RawLink {
  readonly ws: WebSocket;
  readonly frames: ToAgent[] = [];
  /** Text that is not a frame: pongs. */
  readonly texts: string[] = [];
  closed: Closed | null = null;
  /** The status of an upgrade that was refused. */
  refused: number | null = null;
  /** Answers calls as they come; null leaves them open. */
  onCall: (call: CallFrame) => Outcome | null = () => null;

  constructor(edge: string, bearer: string) {
    this.ws = new WebSocket(`${edge.replace(/^http/, "ws")}/agent/v1/link`, {
      headers: { authorization: `Bearer ${bearer}` },
    });
    this.ws.on("error", () => undefined);
    this.ws.on("unexpected-response", (_request, response) => {
      this.refused = response.statusCode ?? 0;
      this.ws.terminate();
    });
    this.ws.on("message", (data) => this.#take(String(data)));
    this.ws.on("close", (code, reason) => {
      this.closed = { code, reason: String(reason) };
    });
  }

  /** Text and bytes go as they are, everything else as JSON. */
  send(frame: FromAgent | object | string | Buffer): void {
    this.ws.send(typeof frame === "string" || Buffer.isBuffer(frame) ? frame : JSON.stringify(frame));
  }

  async open(): Promise<this> {
    await until(() => this.ws.readyState === WebSocket.OPEN || this.closed, "the link is open");
    if (this.closed) throw new Error(`the link was refused: ${this.refused ?? this.closed.code}`);
    return this;
  }

  welcomed(): Promise<ToAgent> {
    return until(() => this.frames.find(({ t }) => t === "welcome"), "the edge says welcome");
  }

  /** Resolves with the close code and reason. */
  end(): Promise<Closed> {
    return until(() => this.closed, "the link is closed");
  }

  #take(text: string): void {
    if (!text.startsWith("{")) {
      this.texts.push(text);
      return;
    }
    const frame = JSON.parse(text) as ToAgent;
    this.frames.push(frame);
    if (frame.t !== "call") return;
    const outcome = this.onCall(frame);
    if (outcome !== null) this.send({ t: "result", call: frame.id, outcome });
  }
}

export type RawHost = {
  host: string;
  identity: Identity;
  inventory: Inventory;
  hello(change?: object): object;
  /** Dials and, unless told not to, says hello. */
  link(options?: { hello?: boolean; bearer?: string }): Promise<RawLink>;
  close(): void;
};

export async function rawHost(edge: Pick<TestEdge, "url" | "cloud">, host: string): Promise<RawHost> {
  const stateDir = mkdtempSync(join(tmpdir(), "edgenova-raw-"));
  await enroll({ edge: edge.url, joinToken: await edge.cloud.joinToken(host), host, stateDir });
  const identity = await loadIdentity(stateDir);
  const links: RawLink[] = [];
  const inventory: Inventory = {
    hypervisor_hostname: host,
    hypervisor_type: "raw",
    hypervisor_version: 1,
    vcpus: 4,
    memory_mb: 4096,
    local_gb: 100,
  };
  const hello = (change = {}) => {
    const versions = { min: 1, max: 1 };
    return { t: "hello", host, agent: "raw", versions, capabilities: [], inventory, guests: [], ...change };
  };
  return {
    host,
    identity,
    inventory,
    hello,
    async link({ hello: greets = true, bearer } = {}) {
      const link = new RawLink(edge.url, bearer ?? (await identity.assertion()));
      links.push(link);
      await link.open();
      if (!greets) return link;
      link.send(hello());
      await link.welcomed();
      return link;
    },
    close() {
      for (const { ws } of links) ws.terminate();
      rmSync(stateDir, { recursive: true, force: true });
    },
  };
}
