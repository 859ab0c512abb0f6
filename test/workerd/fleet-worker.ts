/** The Worker as it is deployed, with a scheduler that can be filled and asked at once what a fleet asks over time. It is no part of a deployment. */
import worker, * as edge from "../../functions/index.ts";
import { decodeToAgent, encode } from "../../functions/protocol/frames.ts";
import type { HostState, RequestSpec } from "../../functions/scheduler/host-state.ts";

export {
  Console,
  ConsoleAuth,
  Drain,
  Flavors,
  Host,
  Identity,
  Images,
  Keypairs,
  Move,
  Project,
  QuotaClass,
  Server,
} from "../../functions/index.ts";

/** Of two kinds, as fleets are; one in fifty is down. What they hold differs, so that no two weigh the same. */
function simulated(at: number, seq: number): HostState {
  const kinds = ["x86_64", "i686"].flatMap((arch) =>
    ["kvm", "qemu"].map((hv_type) => ({ arch, hv_type, vm_mode: "hvm" })),
  );
  return {
    host: `compute-${at}.example.org`,
    uuid: crypto.randomUUID(),
    seq,
    up: at % 50 !== 0,
    connected: at % 50 !== 0,
    enabled: true,
    disabled_reason: null,
    forced_down: false,
    updated_at: new Date().toISOString(),
    inventory: {
      hypervisor_hostname: `compute-${at}.example.org`,
      hypervisor_type: "QEMU",
      hypervisor_version: 8_002_002 + (at % 2),
      vcpus: 64,
      memory_mb: 262_144,
      local_gb: 2000,
      supported_instances: kinds.slice(at % 2),
      host_ip: `10.${at >> 16}.${(at >> 8) & 255}.${at & 255}`,
    },
    capacity: { vcpus: 256, memory_mb: 261_632, disk_gb: 2000 },
    used: { vcpus: (at * 7) % 128, memory_mb: (at * 1024) % 131_072, disk_gb: (at * 20) % 1000, instances: at % 30 },
    io_ops: at % 3,
    failed_builds: 0,
    image_properties: {},
  };
}

const REAL = "real-";

const SPEC: RequestSpec = {
  server: "00000000-0000-4000-8000-000000000000",
  project_id: "p",
  vcpus: 1,
  memory_mb: 512,
  disk_gb: 1,
  flavor: { name: "m1.tiny", extra_specs: {} },
  image: { id: "i", properties: {} },
  availability_zone: null,
  requested_host: null,
  requested_destination: null,
  group: null,
  hints: {},
  hinted_hosts: {},
  tried: [],
};

export class Scheduler extends edge.Scheduler {
  /** Takes the word of so many hosts. */
  fill(hosts: number): void {
    for (let at = 0; at < hosts; at++) this.updateHost(simulated(at, 1));
  }

  /** Takes another word of so many hosts, each of which has one server more. */
  claimed(hosts: number, seq: number): void {
    for (let at = 0; at < hosts; at++) {
      const state = simulated(at, seq);
      this.updateHost({ ...state, used: { ...state.used, instances: state.used.instances + seq } });
    }
  }

  async decide(times: number): Promise<string | undefined> {
    let last: string | undefined;
    for (let i = 0; i < times; i++) last = (await this.select(SPEC)).chosen[0]?.host;
    return last;
  }

  /** How many of the real hosts it knows to be up. */
  linked(): number {
    return this.hosts().filter(({ host, up }) => up && host.startsWith(REAL)).length;
  }

  /** Ends the object, as an eviction does. */
  end(): void {
    this.ctx.abort("bench");
  }
}

/** Real hosts with an agent each that only says hello: much bigger than the simulated ones, so that they are chosen. */
async function link(env: Env, name: string): Promise<WebSocket> {
  const { webSocket } = await env.HOST.getByName(name).fetch("http://edge/", { headers: { upgrade: "websocket" } });
  if (!webSocket) throw new Error("no socket");
  const welcome = new Promise<void>((resolve) => {
    webSocket.addEventListener("message", ({ data }) => {
      const decoded = decodeToAgent(String(data));
      if (decoded.kind === "frame" && decoded.frame.t === "welcome") resolve();
    });
  });
  webSocket.accept();
  const inventory = { hypervisor_hostname: name, hypervisor_type: "QEMU", hypervisor_version: 9_000_000 };
  const hello = { t: "hello", host: name, agent: "bench", versions: { min: 1, max: 1 }, capabilities: [], guests: [] };
  const big = { vcpus: 100_000, memory_mb: 1_000_000_000, local_gb: 10_000_000 };
  webSocket.send(encode({ ...hello, t: "hello", inventory: { ...inventory, ...big } }));
  await welcome;
  return webSocket;
}

const schedulerOf = (env: Env) => env.SCHEDULER.getByName("default") as unknown as DurableObjectStub<Scheduler>;

/** Seconds that `count` placements took, `width` at once: chosen by the scheduler and claimed on the host. */
async function place(env: Env, hosts: number, count: number, width: number): Promise<object> {
  const sockets = await Promise.all(Array.from({ length: hosts }, (_, at) => link(env, `${REAL}${at}`)));
  const scheduler = schedulerOf(env);
  while ((await scheduler.linked()) < hosts);
  let left = count;
  let refused = 0;
  const on = new Set<string>();
  // Time goes on with I/O here, and this is all I/O.
  const startedMs = Date.now();
  const one = async () => {
    while (left-- > 0) {
      const server = crypto.randomUUID();
      const { vcpus, memory_mb, disk_gb } = SPEC;
      const host = (await scheduler.select({ ...SPEC, server })).chosen[0]?.host ?? "";
      const claimed = await env.HOST.getByName(host).claim({ server, generation: 1, vcpus, memory_mb, disk_gb });
      if (!claimed.ok) refused++;
      on.add(host);
    }
  };
  await Promise.all(Array.from({ length: width }, one));
  const seconds = (Date.now() - startedMs) / 1000;
  for (const socket of sockets) socket.close();
  return { seconds, refused, hosts: on.size };
}

export default {
  async fetch(request, env, ctx) {
    const { pathname, searchParams } = new URL(request.url);
    if (!pathname.startsWith("/bench/")) return worker.fetch(request, env, ctx);
    const number = (name: string) => Number(searchParams.get(name));
    const scheduler = schedulerOf(env);
    switch (pathname) {
      case "/bench/fill":
        return Response.json({ done: await scheduler.fill(number("hosts")) });
      case "/bench/claimed":
        return Response.json({ done: await scheduler.claimed(number("hosts"), number("seq")) });
      case "/bench/decide":
        return Response.json({ host: await scheduler.decide(number("times")) });
      case "/bench/end":
        return Response.json({ ended: await scheduler.end().catch(() => true) });
      case "/bench/place":
        return Response.json(await place(env, number("hosts"), number("count"), number("width")));
      default:
        return new Response(null, { status: 404 });
    }
  },
} satisfies ExportedHandler<Env>;
