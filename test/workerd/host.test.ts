/** A `Host` object and what comes over its socket. */
import { env, evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Calls } from "../../functions/compute/calls.ts";
import { HostStore, MIGRATIONS } from "../../functions/compute/host-store.ts";
import type { Link } from "../../functions/compute/link.ts";
import { CLOSE, encode, MAX_FRAME_CHARS, PING } from "../../functions/protocol/frames.ts";
import { migrate } from "../../functions/store/migrate.ts";
import { INVENTORY, ScriptedAgent, until } from "./scripted-agent.ts";

const host = (name: string) => env.HOST.getByName(name);
const small = { vcpus: 1, memory_mb: 1024, disk_gb: 1 };

describe("the link", () => {
  it("is welcomed once, and a newer one takes its place", async () => {
    const old = await new ScriptedAgent("link-1").link();
    const young = await new ScriptedAgent("link-1").link();
    await until(() => old.closed, "the old link is closed");
    expect(old.closed?.code).toBe(CLOSE.REPLACED);
    expect(young.closed).toBeNull();
    expect((await host("link-1").state())?.up).toBe(true);
  });

  it.each([
    ["says another host's name", { host: "someone-else" }, CLOSE.WRONG_HOST],
    ["speaks no version of ours", { versions: { min: 7, max: 9 } }, CLOSE.NO_COMMON_VERSION],
    ["has a hole in its hello", { inventory: undefined }, CLOSE.BAD_FRAME],
    ["has a guest that is no uuid", { guests: [{ server: "../x", generation: 1, power_state: 1 }] }, CLOSE.BAD_FRAME],
  ])("is closed when the agent %s", async (_, change, code) => {
    const name = `link-${code}-${Math.random()}`;
    const agent = new ScriptedAgent(name);
    const send = agent.send.bind(agent);
    agent.send = (frame) => send({ ...frame, ...change } as typeof frame);
    await agent.link();
    expect(agent.closed?.code).toBe(code);
    expect((await host(name).state())?.up ?? false).toBe(false);
  });

  it.each([
    ["garbage", "not json", CLOSE.BAD_FRAME],
    ["an array", "[]", CLOSE.BAD_FRAME],
    ["null", "null", CLOSE.BAD_FRAME],
    ["bytes", new ArrayBuffer(8), CLOSE.BAD_FRAME],
    ["too much", "x".repeat(MAX_FRAME_CHARS + 1), CLOSE.TOO_BIG],
    ["deep nesting", `${'{"t":'.repeat(50_000)}1`, CLOSE.BAD_FRAME],
  ])("is closed on %s, and the host answers on", async (_, data, code) => {
    const agent = await new ScriptedAgent(`bad-${Math.random()}`).link();
    agent.raw(data);
    await until(() => agent.closed, "the link is closed");
    expect(agent.closed?.code).toBe(code);
    expect((await agent.link()).closed).toBeNull();
  });

  it("ignores a frame of a kind it does not know, and an answer to what it never asked", async () => {
    const agent = await new ScriptedAgent("unknown-frame").link();
    agent.raw(JSON.stringify({ t: "from-the-future", much: ["more"] }));
    agent.send({ t: "result", call: "never-asked", outcome: { ok: true, value: {} } });
    await until(() => agent.acks.includes("never-asked"), "it is acknowledged, so that the agent forgets it");
    expect(agent.closed).toBeNull();
  });

  it("may close before its hello is answered: what it told is kept", async () => {
    const agent = new ScriptedAgent("link-hasty");
    const send = agent.send.bind(agent);
    agent.send = (frame) => {
      send(frame);
      agent.unlink();
    };
    // It is never welcome.
    void agent.link();
    const state = await until(() => host("link-hasty").state(), "its hello was heard");
    expect(state.inventory).toMatchObject(INVENTORY);
    await until(async () => (await host("link-hasty").state())?.connected === false, "it is gone");
  });

  it("wants hello first", async () => {
    const response = await host("no-hello").fetch("http://edge/", { headers: { upgrade: "websocket" } });
    const ws = response.webSocket;
    const closed = new Promise<number>((resolve) => ws?.addEventListener("close", ({ code }) => resolve(code)));
    ws?.accept();
    ws?.send(encode({ t: "inventory", inventory: INVENTORY }));
    expect(await closed).toBe(CLOSE.BAD_FRAME);
  });

  it("survives the object's sleep, and heartbeats do not wake it", async () => {
    const agent = await new ScriptedAgent("sleeper").link();
    await evictDurableObject(host("sleeper"), { webSockets: "hibernate" });
    agent.raw(PING);
    await until(() => agent.pongs === 1, "the heartbeat is answered");
    expect((await host("sleeper").state())?.up).toBe(true);
    expect((await host("sleeper").claim({ server: crypto.randomUUID(), generation: 1, ...small })).ok).toBe(true);
  });
});

describe("a host", () => {
  const alarm = (name: string) => runInDurableObject(host(name), (_, state) => state.storage.getAlarm());
  const watched = (name: string) => runInDurableObject(host(name), (_, state) => state.storage.kv.get("watch"));

  it("whose link was lost with the edge is up, and given its time anew", async () => {
    const agent = await new ScriptedAgent("lost-1").link();
    agent.unlink();
    await until(async () => (await host("lost-1").state())?.connected === false, "its link has ended");
    // As an edge that was killed leaves it: no word of the end, no socket, and an alarm for the next look.
    await runInDurableObject(host("lost-1"), async (_, state) => {
      state.storage.kv.put("watch", { state: "linked" });
      await state.storage.setAlarm(Date.now() + 60_000);
    });
    await evictDurableObject(host("lost-1"));
    expect(await host("lost-1").state()).toMatchObject({ up: true, connected: false });
    expect(await watched("lost-1")).toMatchObject({ state: "unlinked", silent_ms: 0 });
    expect(await alarm("lost-1")).toBeLessThanOrEqual(Date.now() + 10_000);
  });

  it("that was silent for too long is down, and is looked at no more until it is back", async () => {
    const agent = await new ScriptedAgent("silent-1").link();
    agent.unlink();
    await until(async () => (await host("silent-1").state())?.connected === false, "its link has ended");
    const now = Date.now();
    await runInDurableObject(host("silent-1"), (_, state) => {
      state.storage.kv.put("watch", { state: "unlinked", seen_at: now, silent_ms: 60_001, looked_at: now });
    });
    expect(await runDurableObjectAlarm(host("silent-1"))).toBe(true);
    expect(await host("silent-1").state()).toMatchObject({ up: false, updated_at: new Date(now).toISOString() });
    expect(await alarm("silent-1")).toBeNull();
    expect(await env.SCHEDULER.getByName("default").hosts()).toContainEqual(
      expect.objectContaining({ host: "silent-1", up: false, connected: false }),
    );
    await agent.link();
    expect(await host("silent-1").state()).toMatchObject({ up: true, connected: true });
    expect(await alarm("silent-1")).toBeGreaterThan(now + 60_000);
  });

  it("that was removed for good leaves with the claims of servers that were deleted, and no others", async () => {
    const agent = await new ScriptedAgent("removed-1").link();
    const [kept, deleted] = [crypto.randomUUID(), crypto.randomUUID()];
    for (const server of [kept, deleted]) await host("removed-1").claim({ server, generation: 1, ...small });
    agent.unlink();
    await until(async () => (await host("removed-1").state())?.connected === false, "its link has ended");
    await host("removed-1").dismiss({ server: deleted, generation: 2 });
    expect(await host("removed-1").deleteService()).toMatchObject({ ok: false });
    await host("removed-1").dismiss({ server: kept, generation: 2 });
    expect(await host("removed-1").deleteService()).toMatchObject({ ok: true });
    expect(await host("removed-1").state()).toBeNull();
    expect(await alarm("removed-1")).toBeNull();
  });
});

describe("a call", () => {
  const server = crypto.randomUUID();
  const request = { id: "c1", server, generation: 1, method: "power_on" as const, params: {} };

  it("is sent once and settled once, however often it is asked for", async () => {
    const agent = await new ScriptedAgent("calls").link();
    const answers = await Promise.all([1, 2, 3].map(() => host("calls").call(request)));
    expect(answers).toEqual(Array(3).fill({ kind: "settled", outcome: { ok: true, value: { power_state: 1 } } }));
    expect(await host("calls").call(request)).toEqual(answers[0]);
    expect(agent.calls).toHaveLength(1);
    expect(agent.acks).toEqual(["c1"]);
  });

  it("is sent again to an agent that comes back, until its outcome is known", async () => {
    const agent = await new ScriptedAgent("calls-2").link();
    agent.answer = () => null;
    const waiting = host("calls-2").call(request);
    await until(() => agent.calls.length === 1, "it is sent");
    agent.unlink();
    expect(await waiting).toEqual({ kind: "waiting", connected: false });
    expect(await host("calls-2").call(request)).toEqual({ kind: "waiting", connected: false });
    await evictDurableObject(host("calls-2"));
    const back = await new ScriptedAgent("calls-2").link();
    await until(() => back.acks.length === 1, "it is settled");
    expect(await host("calls-2").call(request)).toMatchObject({ kind: "settled" });
  });

  it("that was lost on a link that stays up is sent again when it is asked for again", async () => {
    await runInDurableObject(host("calls-lost"), async (_, { storage }) => {
      migrate(storage, MIGRATIONS);
      const sent: string[] = [];
      const ws = { readyState: WebSocket.READY_STATE_OPEN, send: (text: string) => void sent.push(text) };
      const link = { current: () => ws } as unknown as Link;
      const calls = new Calls(new HostStore(storage.sql), link, 20);
      const late = { kind: "waiting", connected: true };
      expect(await Promise.all([calls.call(request), calls.call(request)])).toEqual([late, late]);
      expect(sent).toHaveLength(1);
      expect(await calls.call(request)).toEqual(late);
      expect(sent).toEqual(Array(2).fill(encode({ t: "call", ...request })));
    });
  });

  it("whose answer has a wrong shape has failed", async () => {
    const agent = await new ScriptedAgent("calls-3").link();
    agent.answer = () => ({ ok: true, value: { power_state: 99 } });
    expect(await host("calls-3").call(request)).toMatchObject({
      outcome: { ok: false, error: { code: "Unexpected" } },
    });
  });
});

describe("claims", () => {
  it("are freed when a destroy that failed succeeds, though nobody asks for it again", {
    timeout: 30_000,
  }, async () => {
    const server = crypto.randomUUID();
    const agent = await new ScriptedAgent("destroys").link();
    expect(await host("destroys").claim({ server, generation: 1, ...small })).toMatchObject({ ok: true });
    const answer = agent.answer;
    agent.answer = () => ({ ok: false, error: { code: "HypervisorUnavailable", message: "libvirtd restarts" } });
    expect(await host("destroys").dismiss({ server, generation: 1 })).toEqual({ state: "leaving", connected: true });
    agent.answer = answer;
    await until(async () => (await host("destroys").state())?.used.instances === 0, "the claim is free", 20_000);
    expect(agent.calls.map(({ method }) => method)).toEqual(["destroy", "destroy"]);
  });

  it("come after a dismissal of the same incarnation only as refusals", async () => {
    await new ScriptedAgent("dismissed").link();
    const server = crypto.randomUUID();
    expect(await host("dismissed").dismiss({ server, generation: 1 })).toEqual({ state: "gone" });
    expect(await host("dismissed").claim({ server, generation: 1, ...small })).toMatchObject({ ok: false });
    expect(await host("dismissed").claim({ server, generation: 2, ...small })).toMatchObject({ ok: true });
  });

  it("are refused by a host that is not there", async () => {
    const claimed = await host("nobody").claim({ server: crypto.randomUUID(), generation: 1, ...small });
    expect(claimed).toEqual({ ok: false, error: { kind: "down" } });
  });

  it("never overshoot, and survive the object, whatever the order", { timeout: 30_000 }, async () => {
    const servers = Array.from({ length: 12 }, () => crypto.randomUUID());
    const step = fc.record({
      server: fc.constantFrom(...servers),
      act: fc.constantFrom("claim", "dismiss"),
      vcpus: fc.integer({ min: 1, max: 6 }),
    });
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(step, { maxLength: 10 }), { minLength: 1, maxLength: 4 }), async (bursts) => {
        const name = `property-${run++}`;
        const agent = await new ScriptedAgent(name).link();
        let generation = 1;
        for (const burst of bursts) {
          await Promise.all(
            burst.map(async ({ server, act, vcpus }) => {
              generation++;
              if (act === "dismiss") return void (await host(name).dismiss({ server, generation }));
              return void (await host(name).claim({ server, generation, vcpus, memory_mb: 1, disk_gb: 1 }));
            }),
          );
          await evictDurableObject(host(name), { webSockets: "hibernate" });
          const rows = await runInDurableObject(host(name), (_, state) =>
            state.storage.sql.exec<{ vcpus: number }>("SELECT vcpus FROM allocation").toArray(),
          );
          const sum = rows.reduce((all, row) => all + row.vcpus, 0);
          const told = await host(name).state();
          expect(sum).toBe(told?.used.vcpus);
          expect(sum).toBeLessThanOrEqual(told?.capacity.vcpus ?? 0);
        }
        agent.unlink();
      }),
      { numRuns: 15 },
    );
  });
});
