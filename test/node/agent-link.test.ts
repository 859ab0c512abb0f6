import { beforeEach, describe, expect, it } from "vitest";
import { Link, type LinkOptions } from "../../agent/link.ts";
import { CLOSE, type FromAgent, type Outcome } from "../../functions/protocol/frames.ts";
import { type AgentLink, ScriptedEdge } from "./agent-scripted-edge.ts";
import { call, recordingLog, SERVER, until } from "./agent-support.ts";

const HELLO: FromAgent = {
  t: "hello",
  host: "hv1",
  agent: "test",
  versions: { min: 1, max: 1 },
  capabilities: [],
  inventory: {
    hypervisor_hostname: "hv1",
    hypervisor_type: "tiny",
    hypervisor_version: 1,
    vcpus: 1,
    memory_mb: 1,
    local_gb: 1,
  },
  guests: [],
};
const OK: Outcome = { ok: true, value: {} };

let edge: ScriptedEdge;
let logged: ReturnType<typeof recordingLog>;
beforeEach(async () => {
  logged = recordingLog();
  edge = await new ScriptedEdge().start();
  return () => edge.stop();
});

async function dial(options: Partial<LinkOptions> = {}, use: (link: Link) => Promise<void>): Promise<void> {
  const link = new Link({
    identity: { edge: edge.url, host: "hv1", assertion: async () => "signed" },
    hello: async () => HELLO,
    onCall: async () => OK,
    onAck: () => undefined,
    onDeleted: () => undefined,
    onConsoleNoted: () => undefined,
    onWelcome: () => undefined,
    log: logged.log,
    retry: { baseMs: 1, capMs: 20 },
    ...options,
  });
  const ended = link.run();
  try {
    await use(link);
  } finally {
    await link.stop();
    await ended;
  }
}
const last = (): AgentLink => edge.links.at(-1)!;
const linked = () => until(() => logged.events().includes("link.up"), "the link");

describe("a link", () => {
  it("says hello with its assertion, is welcomed, and pings", async () => {
    await dial({}, async (link) => {
      expect(link.send(HELLO)).toBe(false);
      await linked();
      expect(last().authorization).toBe("Bearer signed");
      expect(last().frames).toEqual([HELLO]);
      await until(() => last().pings >= 4, "four pings");
      expect(edge.links).toHaveLength(1);
      expect(link.send({ t: "report", guests: [] })).toBe(true);
    });
    await until(() => last().closed === 1001, "the goodbye");
  });

  it("is dead when the edge stops answering, and is made anew", async () => {
    edge.pong = false;
    await dial({}, async () => {
      await until(() => edge.links.length >= 2, "the second dial");
      expect(edge.links[0]!.pings).toBe(3);
      expect(logged.lines.find((line) => line.event === "link.waiting")?.message).toContain("stopped answering");
    });
  });

  it("is made anew when it drops, with a hello of that moment", async () => {
    let hellos = 0;
    const hello = async (): Promise<FromAgent> => ({ ...HELLO, agent: `hello ${++hellos}` });
    await dial({ hello, retry: { baseMs: 1, random: () => 1 } }, async () => {
      for (const times of [1, 2, 3]) {
        await until(() => edge.links.length === times && last().pings > 0, `link ${times}`);
        last().socket.terminate();
      }
    });
    expect(edge.links[2]!.frames[0]).toMatchObject({ agent: "hello 3" });
    // Each link was welcomed, so each wait is a first one.
    const waits = logged.lines.filter((line) => line.event === "link.waiting");
    expect(new Set(waits.map((line) => line.retry_ms))).toEqual(new Set([1]));
  });

  it("waits for an edge that is not there yet, and says so", async () => {
    const { port } = edge;
    await edge.stop();
    await dial(
      { identity: { edge: `http://127.0.0.1:${port}`, host: "hv1", assertion: async () => "signed" } },
      async () => {
        await until(() => logged.events().includes("link.waiting"), "the line");
        expect(logged.lines[0]!.message).toBe(`waiting for the edge at http://127.0.0.1:${port}: ECONNREFUSED`);
        edge = await new ScriptedEdge().start(port);
        await linked();
      },
    );
  });

  it("does not dial while the hypervisor cannot be asked", async () => {
    let works = false;
    const hello = async () => {
      if (!works) throw new Error("libvirtd is down");
      return HELLO;
    };
    await dial({ hello }, async () => {
      await until(() => logged.lines.length >= 2, "two attempts");
      expect(edge.links).toHaveLength(0);
      expect(logged.lines[0]!.message).toContain("libvirtd is down");
      works = true;
      await linked();
    });
  });
});

describe("calls", () => {
  it("are answered each time they come, and acknowledgements passed on", async () => {
    const acked: string[] = [];
    const seen: string[] = [];
    const onCall = async ({ id }: { id: string }) => {
      seen.push(id);
      return OK;
    };
    await dial({ onCall, onAck: (id) => acked.push(id) }, async () => {
      await linked();
      for (const id of ["a", "a", "b"]) edge.tell(last(), call(id, "spawn"));
      await until(() => edge.results().length === 3, "three results");
      expect(edge.results()).toEqual(seen.map((id) => ({ t: "result", call: id, outcome: OK })));
      edge.tell(last(), { t: "ack", call: "a" });
      await until(() => acked.length === 1, "the ack");
    });
  });

  it("and what is noted of consoles are different things", async () => {
    const noted: unknown[] = [];
    await dial({ onConsoleNoted: (one) => noted.push(one) }, async () => {
      await linked();
      edge.tell(last(), { t: "console_noted", session: SERVER, leg: 2 });
      await until(() => noted.length === 1, "the note");
      expect(noted).toEqual([{ t: "console_noted", session: SERVER, leg: 2 }]);
    });
  });

  it("are not answered on another link than they came on", async () => {
    const answer = Promise.withResolvers<Outcome>();
    await dial({ onCall: () => answer.promise }, async () => {
      await linked();
      edge.tell(last(), call("a", "spawn"));
      edge.tell(last(), { t: "ack", call: "sync" });
      last().socket.close();
      await until(() => edge.links.length === 2 && last().pings > 0, "the next link");
      answer.resolve(OK);
      edge.tell(last(), call("a", "spawn"));
      await until(() => edge.results().length === 1, "the result");
      expect(edge.links[0]!.frames).toHaveLength(1);
    });
  });
});

describe("what the edge sends amiss", () => {
  it("is passed over: unknown kinds in silence, garbage with a line in the log", async () => {
    await dial({}, async () => {
      await linked();
      const garbage = ["", "{", "[]", "null", '{"t":1}', '{"t":"call"}', '{"t":"welcome","version":1}', "pongpong"];
      last().socket.send('{"t":"weather","sunny":true}');
      for (const text of garbage) last().socket.send(text);
      last().socket.send(Buffer.from([0, 1, 2]), { binary: true });
      edge.tell(last(), call("after", "power_on"));
      await until(() => edge.results().length === 1, "the call after it");
      const bad = logged.lines.filter((line) => line.event === "link.bad_frame");
      // '{"t":1}' is of an unknown kind; the binary frame is garbage too.
      expect(bad).toHaveLength(garbage.length - 1 + 1);
      expect(edge.links).toHaveLength(1);
    });
  });

  it("ends the link when it is too big, and another is made", async () => {
    await dial({}, async () => {
      await linked();
      last().socket.send(Buffer.alloc(9 * 1024 * 1024));
      await until(() => edge.links.length === 2, "the next link");
    });
  });
});

describe("a refusal", () => {
  const refused = () => logged.lines.find((line) => line.event === "link.refused");

  it("is told in the edge's words, with the clocks when they differ, and retried late", async () => {
    edge.refuse = {
      status: 401,
      body: { unauthorized: { code: 401, message: "The assertion is not accepted." } },
      headers: { date: new Date(Date.now() + 600_000).toUTCString() },
    };
    await dial({}, async () => {
      await until(() => refused() !== undefined, "the refusal");
      expect(refused()!.message).toContain("refused with 401: The assertion is not accepted.");
      expect(refused()!.message).toMatch(/clock is \d+ s behind the edge's/);
      expect(refused()!.retry_ms).toBeGreaterThanOrEqual(5000);
    });
  });

  it("by a failing edge is retried soon", async () => {
    edge.refuse = { status: 503 };
    await dial({}, async () => {
      await until(() => logged.lines.length >= 3, "three attempts");
      expect(new Set(logged.events())).toEqual(new Set(["link.waiting"]));
      edge.refuse = null;
      await linked();
    });
  });

  it("because another agent took the host's name is said so, and retried late", async () => {
    await dial({}, async () => {
      await linked();
      last().socket.close(CLOSE.REPLACED, "replaced");
      await until(() => refused() !== undefined, "the line");
      expect(refused()!.message).toContain("another agent connected under this host's name");
      expect(refused()!.retry_ms).toBeGreaterThanOrEqual(5000);
    });
  });

  it("comes from the agent when the edge chose a version it does not speak", async () => {
    edge.onFrame = (link) => edge.tell(link, { t: "welcome", version: 2, report_interval: 1 });
    await dial({}, async () => {
      await until(() => refused() !== undefined, "the line");
      expect(last().closed).toBe(CLOSE.NO_COMMON_VERSION);
    });
  });
});
