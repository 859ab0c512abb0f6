/** The real agent as a process of its own, with the fake hypervisor, against a scripted edge. */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import type { FromAgent } from "../../functions/protocol/frames.ts";
import { ScriptedEdge } from "./agent-scripted-edge.ts";
import { call, OTHER, SERVER, SPEC, temporaryDir, until } from "./agent-support.ts";

const MAIN = join(import.meta.dirname, "../../agent/main.ts");
const IMAGE = Buffer.from("a disk");
const PARAMS = {
  ...SPEC,
  image: { ...SPEC.image, size: IMAGE.length, sha512: createHash("sha512").update(IMAGE).digest("hex") },
};

type Agent = { process: ChildProcess; output: () => string };

function agent(args: string[], env: Record<string, string> = {}): Agent {
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: { PATH: process.env.PATH ?? "", HOME: "/nonexistent", ...env },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk) => {
      output += String(chunk);
    });
  }
  onTestFinished(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  });
  return { process: child, output: () => output };
}
async function exitOf(started: Agent): Promise<{ code: number | null; output: string }> {
  if (started.process.exitCode === null && started.process.signalCode === null) await once(started.process, "close");
  return { code: started.process.exitCode, output: started.output() };
}

let edge: ScriptedEdge;
let state: string;
beforeEach(async () => {
  edge = await new ScriptedEdge().start();
  edge.image = (_id, response) => void response.writeHead(200).end(IMAGE);
  state = join(temporaryDir(), "state");
  return () => edge.stop();
});

async function enrolled(): Promise<void> {
  const { code, output } = await exitOf(
    agent(["enroll", "--edge", edge.url, "--host", "hv1", "--state", state], { EDGENOVA_JOIN_TOKEN: "join-me" }),
  );
  expect(output).toBe(`enrolled as hv1 at ${edge.url}\n`);
  expect(code).toBe(0);
  expect(edge.enrolments).toMatchObject([{ join_token: "join-me", host: "hv1" }]);
}
const run = () => agent(["run", "--driver", "fake", "--fake-vcpus", "4", "--state", state]);
const hello = (link: number): FromAgent | undefined => edge.links[link]?.frames[0];
const pinged = (link: number) => until(() => (edge.links[link]?.pings ?? 0) > 0, `link ${link}`);

describe("the command line", () => {
  it.each([
    [["frobnicate"], 2, /unknown command/],
    [["run", "--driver", "hyper-v"], 2, /Allowed choices are libvirt, fake/],
    [["run", "--fake-vcpus", "none"], 2, /whole number/],
    [["enroll", "--edge", "https://edge.example"], 2, /--join-token/],
    [["enroll", "--edge", "http://edge.example", "--join-token", "t", "--state", "STATE"], 1, /plain http is only for/],
    [["run", "--state", "STATE"], 1, /not enrolled.*run "edgenova-agent enroll" first/],
    [["version"], 0, /^\d+\.\d+\.\d+\n$/],
    [["run", "--help"], 0, /--connection-uri/],
  ])("%j ends with %i", async (args, code, message) => {
    const end = await exitOf(agent(args.map((arg) => (arg === "STATE" ? state : arg))));
    expect(end.output).toMatch(message);
    expect(end.output).not.toMatch(/^ {4}at /m);
    expect(end.code).toBe(code);
  });
});

describe("a running agent", () => {
  it("serves calls and a console, and leaves in order at SIGTERM with its guests untouched", async () => {
    await enrolled();
    const first = run();
    await pinged(0);
    expect(hello(0)).toMatchObject({ host: "hv1", guests: [], inventory: { hypervisor_hostname: "hv1", vcpus: 4 } });
    const boot = call("boot", "spawn", { generation: 3, params: PARAMS });
    edge.tell(edge.links[0]!, boot);
    await until(() => edge.results().length === 1, "the boot");
    expect(edge.results()[0]).toEqual({ t: "result", call: "boot", outcome: { ok: true, value: { power_state: 1 } } });

    const session = { session: OTHER, leg: 1, label: "", owner: true, page: false, sharing: "one" };
    const params = { console: "cd".repeat(32), ticket: "secret-ticket", session };
    edge.tell(edge.links[0]!, call("see", "open_console", { generation: 3, params }));
    await until(() => (edge.consoles[0]?.messages.length ?? 0) > 0, "the screen's greeting");
    expect(String(edge.consoles[0]!.messages[0])).toMatch(/^RFB 003\.00\d\n$/);

    first.process.kill("SIGTERM");
    const end = await exitOf(first);
    expect(end.code).toBe(0);
    await until(() => edge.links[0]!.closed !== undefined && edge.consoles[0]!.closed !== undefined, "the goodbyes");
    expect([edge.links[0]!.closed, edge.consoles[0]!.closed![0]]).toEqual([1001, 4501]);
    const report = { t: "console_closed", server: SERVER, session: OTHER, leg: 1, code: 4501 };
    expect(edge.links[0]!.frames.at(-1)).toMatchObject(report);
    expect(end.output).not.toMatch(/secret-ticket|eyJ/);
    for (const line of end.output.trim().split("\n"))
      expect(JSON.parse(line)).toMatchObject({ event: expect.any(String) });

    run();
    await pinged(1);
    expect(hello(1)).toMatchObject({ guests: [{ server: SERVER, generation: 3, power_state: 1 }] });
    edge.tell(edge.links[1]!, boot);
    await until(() => edge.results().length === 3, "the recorded outcome");
    expect(edge.results()[2]!.outcome).toEqual({ ok: true, value: { power_state: 1 } });
  });

  it("knows what it did when it is killed before it could say so", async () => {
    await enrolled();
    const first = run();
    await pinged(0);
    const boot = call("boot", "spawn", { params: PARAMS });
    edge.links[0]!.socket.pause(); // nothing that it says is heard any more
    edge.tell(edge.links[0]!, boot);
    await until(() => first.output().includes('"call.done"'), "the boot");
    first.process.kill("SIGKILL");
    await exitOf(first);
    run();
    await pinged(1);
    expect(hello(1)).toMatchObject({ guests: [{ server: SERVER, generation: 1 }] });
    edge.tell(edge.links[1]!, boot);
    await until(() => edge.results().some((result) => result.outcome.ok), "the outcome");
    expect(readdirSync(join(state, "images"))).toEqual([PARAMS.image.sha512]);
  });

  it("ends at once at a second signal, and refuses a second agent on its state", async () => {
    await enrolled();
    const first = run();
    await pinged(0);
    const second = await exitOf(run());
    expect(second.code).toBe(1);
    expect(second.output).toContain("another agent runs with this state directory");
    edge.links[0]!.socket.pause(); // so that the goodbye takes its full second
    first.process.kill("SIGTERM");
    await until(() => first.output().includes("agent.stopping"), "the stop");
    first.process.kill("SIGINT");
    expect((await exitOf(first)).code).toBe(1);
  });

  it("waits for an edge that is down, and stops while it waits", async () => {
    await enrolled();
    await edge.stop();
    const waiting = run();
    await until(() => waiting.output().includes(`waiting for the edge at ${edge.url}: ECONNREFUSED`), "the line");
    waiting.process.kill("SIGTERM");
    expect((await exitOf(waiting)).code).toBe(0);
  });

  async function booted(): Promise<Agent> {
    const started = run();
    await pinged(0);
    edge.tell(edge.links[0]!, call("boot", "spawn", { params: PARAMS }));
    await until(() => edge.results().length === 1, "the boot");
    return started;
  }

  it("keeps its guests, and their consoles, when the control link is lost", async () => {
    await enrolled();
    await booted();
    const params = { console: "cd".repeat(32), ticket: "t" };
    edge.tell(edge.links[0]!, call("see", "open_console", { params }));
    const messages = () => edge.consoles[0]?.messages ?? [];
    await until(() => messages().length === 1, "the screen's greeting");
    edge.links[0]!.socket.terminate();
    edge.refuse = { status: 503 };
    edge.consoles[0]!.socket.send(Buffer.from("RFB 003.008\n"));
    await until(() => messages().length === 2, "the screen's answer while there is no link");
    expect(messages()[1]).toEqual(Buffer.from([1, 1]));
    edge.refuse = null;
    await pinged(1);
    expect(hello(1)).toMatchObject({ guests: [{ server: SERVER, power_state: 1 }] });
    edge.consoles[0]!.socket.send(Buffer.from([1]));
    await until(() => messages().length === 3, "the screen goes on after it");
    expect(edge.consoles[0]!.closed).toBeUndefined();
  });

  it.each([true, false])("after its host was restarted without the edge, resumes its guests: %s", async (resume) => {
    await enrolled();
    writeFileSync(join(state, "agent.toml"), `resume_guests_state_on_host_boot = ${resume}`);
    const first = await booted();
    first.process.kill("SIGKILL");
    await exitOf(first);
    await edge.stop();
    writeFileSync(join(state, "fake/boot_id"), "another");
    const second = run();
    await until(() => second.output().includes("waiting for the edge"), "the edge is away");
    if (resume) await until(() => second.output().includes('"guest.resumed"'), "the guest is started");
    const back = await new ScriptedEdge().start(edge.port);
    onTestFinished(() => back.stop());
    await until(() => back.links[0]?.frames[0] !== undefined, "a hello");
    expect(back.links[0]!.frames[0]).toMatchObject({
      guests: [{ server: SERVER, generation: 1, power_state: resume ? 1 : 4 }],
    });
  });

  it("that is new refuses a host that has guests, in one line", async () => {
    await enrolled();
    const first = await booted();
    first.process.kill("SIGKILL");
    await exitOf(first);
    for (const name of readdirSync(state)) if (/^(journal\.db|node\.json)/.test(name)) rmSync(join(state, name));
    const { code, output } = await exitOf(run());
    expect(code).toBe(1);
    expect(output.trim().split("\n").at(-1)).toMatch(
      /^edgenova-agent: this agent is new, and the hypervisor has 1 guests/,
    );
  });
});
