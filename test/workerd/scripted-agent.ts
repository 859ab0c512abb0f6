/** An agent by hand: speaks the protocol to a real `Host` object, and does what a test tells it. */
import { env } from "cloudflare:test";
import {
  type DeletedGuest,
  decodeToAgent,
  encode,
  type FromAgent,
  type Outcome,
  PONG,
  type ToAgent,
} from "../../functions/protocol/frames.ts";
import type { GuestReport, Inventory, PowerState } from "../../functions/protocol/guest.ts";
import { METHODS, type Method, type Params } from "../../functions/protocol/methods.ts";

export type Call = Extract<ToAgent, { t: "call" }>;
type Value = Extract<Outcome, { ok: true }>["value"];

export const INVENTORY: Inventory = {
  hypervisor_hostname: "node",
  hypervisor_type: "fake",
  hypervisor_version: 1,
  vcpus: 4,
  memory_mb: 8192 + 512,
  local_gb: 1000,
};

/** What a method leaves the guest in, where that is not running. */
const POWER_AFTER: Partial<Record<Method, PowerState>> = { power_off: 4, pause: 3, suspend: 7 };

export class ScriptedAgent {
  readonly calls: Call[] = [];
  readonly acks: string[] = [];
  readonly deleted: DeletedGuest[] = [];
  pongs = 0;
  readonly guests = new Map<string, GuestReport>();
  closed: { code: number; reason: string } | null = null;
  /** What becomes of a call; null leaves it without an answer. */
  answer: (call: Call) => Outcome | null = (call) => this.#act(call);
  #ws: WebSocket | undefined;

  readonly host: string;

  constructor(host: string) {
    this.host = host;
  }

  /** Dials and says hello; resolves when it is welcome, or was closed. */
  async link(inventory = INVENTORY): Promise<this> {
    const response = await env.HOST.getByName(this.host).fetch("http://edge/", { headers: { upgrade: "websocket" } });
    const ws = response.webSocket;
    if (!ws) throw new Error("no socket");
    this.#ws = ws;
    this.closed = null;
    const welcome = new Promise<void>((resolve) => {
      ws.addEventListener("message", ({ data }) => {
        if (data === PONG) return void this.pongs++;
        const decoded = decodeToAgent(String(data));
        if (decoded.kind !== "frame") throw new Error(`bad frame ${data}`);
        if (decoded.frame.t === "welcome") resolve();
        else this.#receive(decoded.frame);
      });
      ws.addEventListener("close", ({ code, reason }) => {
        this.closed = { code, reason };
        resolve();
      });
    });
    ws.accept();
    this.send({
      t: "hello",
      host: this.host,
      agent: "scripted",
      versions: { min: 1, max: 1 },
      capabilities: [],
      inventory,
      guests: [...this.guests.values()],
    });
    await welcome;
    return this;
  }

  send(frame: FromAgent): void {
    this.#ws?.send(encode(frame));
  }

  raw(data: string | ArrayBuffer): void {
    this.#ws?.send(data);
  }

  unlink(): void {
    this.#ws?.close(1001, "gone");
    this.#ws = undefined;
  }

  #receive(frame: ToAgent): void {
    if (frame.t === "ack") this.acks.push(frame.call);
    if (frame.t === "deleted") this.deleted.push(...frame.guests);
    if (frame.t !== "call") return;
    this.calls.push(frame);
    const outcome = this.answer(frame);
    if (outcome) this.send({ t: "result", call: frame.id, outcome });
  }

  /** What a method of a move answers, and makes of the guest; null for any other method. */
  #move(server: string, generation: number, method: Method, params: unknown): Value | null {
    const is = (power_state: PowerState) => {
      this.guests.set(server, { server, generation, power_state });
      return { power_state };
    };
    switch (method) {
      case "migrate_disk_and_power_off":
      case "finish_revert_migration":
        return is(4);
      case "confirm_migration":
        return {};
      case "send_disks":
      case "receive_disks":
        return { bytes: 1024 };
      case "finish_migration":
        return is((params as Params<"finish_migration">).start ? 1 : 4);
      case "check_can_live_migrate_source":
        return { cpu: "", machine: "fake", hypervisor_version: 1, disks: [], probe: null };
      case "check_can_live_migrate_destination":
        return { block_migration: (params as Params<"check_can_live_migrate_destination">).block_migration ?? true };
      case "instance_on_disk":
        return { on_disk: false };
      case "pre_live_migration":
        return {};
      case "live_migration":
        this.guests.delete(server);
        return { aborted: false };
      case "post_live_migration_at_destination":
        return is(1);
      default:
        return null;
    }
  }

  #act({ server, generation, method, params }: Call): Outcome {
    const power_state = POWER_AFTER[method] ?? 1;
    if (method === "destroy") {
      this.guests.delete(server);
      return { ok: true, value: {} };
    }
    const moved = this.#move(server, generation, method, params);
    if (moved !== null) return { ok: true, value: moved };
    if (method === "get_vnc_console") return { ok: true, value: { transport: "unix", path: "/vnc.sock" } };
    if (!METHODS[method].durable) return { ok: true, value: {} };
    this.guests.set(server, { server, generation, power_state });
    return { ok: true, value: { power_state } };
  }
}

/** Waits until `holds` gives something true, and returns it. */
export async function until<T>(holds: () => T | Promise<T>, what: string, timeoutMs = 8_000): Promise<NonNullable<T>> {
  for (const deadline = Date.now() + timeoutMs; ; await new Promise((resolve) => setTimeout(resolve, 10))) {
    const value = await holds();
    if (value) return value as NonNullable<T>;
    if (Date.now() > deadline) throw new Error(`it did not come true that ${what}`);
  }
}
