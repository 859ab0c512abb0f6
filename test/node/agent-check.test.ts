/** `edgenova-agent check` as a process: each failure that can be had here, and what it says a person is to do. */
import { execFile } from "node:child_process";
import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { decodeJwt } from "jose";
import { beforeEach, describe, expect, it } from "vitest";
import { checkHost } from "../../agent/check/check.ts";
import { checkClock, skewOf } from "../../agent/check/clock.ts";
import { roomFor } from "../../agent/check/disk.ts";
import { type Finding, isReady, readable } from "../../agent/check/finding.ts";
import { checkKvm, cpuOf, type KvmFacts } from "../../agent/check/kvm.ts";
import { checkTools } from "../../agent/check/tools.ts";
import type { AgentConfig } from "../../agent/config.ts";
import { ensureKey, writeEnrolment } from "../../agent/identity.ts";
import { temporaryDir } from "./agent-support.ts";

const MAIN = join(import.meta.dirname, "../../agent/main.ts");
const FAULT = JSON.stringify({ unauthorized: { code: 401, message: "The agent's credentials were not accepted." } });

let server: Server;
let url: string;
let state: string;
let asked: { path: string; authorization: string }[];
let answer: (response: ServerResponse) => void;
beforeEach(async () => {
  asked = [];
  answer = (response) => void response.end(JSON.stringify({ host: "hv1" }));
  server = createServer((request, response) => {
    asked.push({ path: request.url ?? "", authorization: request.headers.authorization ?? "" });
    answer(response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  state = join(temporaryDir(), "state");
  return () => new Promise((resolve) => server.close(resolve));
});

async function enrolled(edge = url): Promise<void> {
  await ensureKey(state);
  writeEnrolment(state, { edge, host: "hv1" });
}

type Found = Record<string, Finding>;

/** What the checks find, by name, and whether the host is ready. */
async function check(edge?: string): Promise<{ ready: boolean; found: Found }> {
  const withFlags = (config: AgentConfig) => config;
  const checks = await checkHost({ stateDir: state, driver: "fake", withFlags, ...(edge ? { edge } : {}) });
  return { ready: isReady(checks), found: Object.fromEntries(checks.map((it) => [it.check, it])) };
}

/** As `edgenova-agent check`. */
function run(...args: string[]): Promise<{ code: number; output: string }> {
  const all = [MAIN, "check", "--driver", "fake", "--state", state, ...args];
  return new Promise((resolve) => {
    execFile(process.execPath, all, (error, stdout, stderr) => {
      resolve({ code: Number(error?.code ?? 0), output: stdout + stderr });
    });
  });
}

describe("a host", () => {
  it("that is ready is told so, by a signature that is the edge's alone", async () => {
    await enrolled();
    const { ready, found } = await check();
    expect(Object.values(found).map(({ check: name, state }) => `${name} ${state}`)).toEqual(
      ["options", "state", "disk", "edge", "clock", "enrolment", "key"].map((name) => `${name} ok`),
    );
    expect(ready).toBe(true);
    expect(asked.map(({ path }) => path)).toEqual(["/agent/v1/whoami"]);
    expect(decodeJwt(asked[0]!.authorization.slice("Bearer ".length)).iss).toBe("hv1");
    const elsewhere = url.replace("127.0.0.1", "localhost");
    expect((await check(elsewhere)).found.key).toMatchObject({ state: "skipped" });
    expect(asked.at(-1)?.authorization).toBe("");
  });

  it("that is not enrolled is told the command, and of the edge that it names", async () => {
    const { ready, found } = await check();
    expect(ready).toBe(false);
    expect(found.enrolment).toMatchObject({ state: "failed", mend: expect.stringContaining("edgenova-agent enroll") });
    expect([found.edge?.state, found.clock?.state, found.key?.state]).toEqual(["skipped", "skipped", "skipped"]);
    answer = (response) => void response.writeHead(401).end(FAULT);
    const near = await check(url);
    expect([near.found.edge?.state, near.found.clock?.state, near.ready]).toEqual(["ok", "ok", false]);
  });

  it("whose files are damaged is told which", async () => {
    await enrolled();
    writeFileSync(join(state, "agent.toml"), "max_concurrent_builds = -1");
    rmSync(join(state, "key.json"));
    const { ready, found } = await check();
    expect(found.options).toMatchObject({ state: "failed", says: expect.stringContaining("max_concurrent_builds") });
    expect(found.enrolment).toMatchObject({ state: "failed", says: expect.stringContaining("key.json is missing") });
    expect([found.edge?.state, ready]).toEqual(["skipped", false]);
  });

  it("that is given no URL of an edge is told so", async () => {
    await expect(check("http://edge.example")).rejects.toThrow("refusing http://edge.example");
  });

  it("is told by the command line in columns or as JSON, with its exit code", async () => {
    const before = await run();
    expect(before.code).toBe(1);
    expect(before.output).toMatch(/^✓ options {4}agent\.toml/);
    expect(before.output).toMatch(/\n✗ enrolment {2}not enrolled yet.*\n {13}→ edgenova-agent enroll/);
    expect(before.output).toMatch(/\nThis host is not ready: 1 of 7 checks failed\.\n$/);
    await enrolled();
    const { code, output } = await run("--json");
    expect([code, JSON.parse(output)]).toMatchObject([
      0,
      { ready: true, checks: expect.arrayContaining([expect.objectContaining({ check: "key", state: "ok" })]) },
    ]);
  });
});

describe("the edge", () => {
  it.each<[string, () => void, RegExp, RegExp]>([
    [
      "whose name is not found",
      () => writeEnrolment(state, { edge: "https://edge.invalid", host: "hv1" }),
      /^DNS: the name edge.invalid is not found/,
      /getent hosts edge.invalid/,
    ],
    [
      "that nobody listens at",
      () => writeEnrolment(state, { edge: "http://127.0.0.1:1", host: "hv1" }),
      /^TCP: .*ECONNREFUSED/,
      /firewall/,
    ],
    [
      "that speaks no TLS",
      () => writeEnrolment(state, { edge: url.replace("http", "https"), host: "hv1" }),
      /^TLS: /,
      /openssl s_client/,
    ],
    [
      "that hangs up",
      () => {
        answer = (response) => void response.destroy();
      },
      /^HTTP: no answer/,
      /curl -v/,
    ],
    [
      "that fails",
      () => {
        answer = (response) => void response.writeHead(503).end();
      },
      /^HTTP: it answers 503/,
      /curl -v/,
    ],
    [
      "that is a web page",
      () => {
        answer = (response) => void response.end("<html>");
      },
      /not as an edge does/,
      /is the URL right/,
    ],
  ])("%s is told by the step that failed", async (_what, arrange, says, mend) => {
    await enrolled();
    arrange();
    const { ready, found } = await check();
    expect(found.edge).toMatchObject({
      state: "failed",
      says: expect.stringMatching(says),
      mend: expect.stringMatching(mend),
    });
    expect(found.key?.state).not.toBe("ok");
    expect(ready).toBe(false);
  });
});

describe("the key", () => {
  it.each<[string, number, object, Finding["state"], RegExp]>([
    [
      "of a host that was removed",
      401,
      { unauthorized: { code: 401, message: "no" } },
      "failed",
      /does not accept.*hv1 was removed/,
    ],
    ["that is taken for another's", 200, { host: "hv2" }, "failed", /for another/],
    [
      "at an edge that is too old to tell",
      404,
      { itemNotFound: { code: 404, message: "no" } },
      "warning",
      /older than this/,
    ],
    ["of too many requests", 429, { overLimit: { code: 429, message: "Too many" } }, "failed", /429: Too many/],
  ])("%s", async (_what, status, body, state, says) => {
    await enrolled();
    answer = (response) => void response.writeHead(status).end(JSON.stringify(body));
    expect((await check()).found.key).toMatchObject({
      state,
      says: expect.stringMatching(says),
      mend: expect.any(String),
    });
  });

  it("is not blamed for the clock", async () => {
    await enrolled();
    answer = (response) => {
      const date = new Date(Date.now() + 3_600_000).toUTCString();
      response.writeHead(401, { date }).end(FAULT);
    };
    const { found, ready } = await check();
    expect(found.clock).toMatchObject({
      state: "failed",
      says: expect.stringMatching(/^\d+ s behind the edge's: what this/),
    });
    expect(found.clock?.mend).toMatch(/chronyc|timedatectl/);
    expect(found.key).toMatchObject({ state: "failed", says: "not accepted while the clock is wrong" });
    expect(ready).toBe(false);
  });
});

it("a clock is ahead or behind by what the way of the answer cannot explain", () => {
  const date = "Thu, 01 Jan 2026 00:00:00 GMT";
  const edgeMs = Date.parse(date);
  const skew = (sentMs: number, heardMs: number) =>
    skewOf({ date, sentMs: edgeMs + sentMs, heardMs: edgeMs + heardMs });
  expect([skew(0, 10), skew(900, 950), skew(-4000, 3000)]).toEqual([0, 0, 0]);
  expect([skew(31_000, 31_100), skew(-30_000, -29_900)]).toEqual([30_000, -29_900]);
  const untold = { date: null, body: "", sentMs: 0, heardMs: 0 };
  expect(skewOf(untold)).toBeNull();
  expect([200, 401].map((status) => checkClock({ ...untold, status }, null).state)).toEqual(["ok", "skipped"]);
  const seen = (ms: number, program: "chronyc" | "timedatectl" | null) =>
    checkClock({ status: 200, body: "", date, sentMs: edgeMs + ms, heardMs: edgeMs + ms }, program);
  expect(seen(31_000, "chronyc")).toMatchObject({ state: "warning", mend: "chronyc makestep" });
  expect(seen(90_000, "timedatectl")).toMatchObject({ state: "failed", mend: "timedatectl set-ntp true" });
  expect(seen(-90_000, null)).toMatchObject({
    state: "failed",
    mend: expect.stringContaining("apt-get install chrony"),
  });
});

describe("KVM", () => {
  const good: KvmFacts = { device: true, usable: true, listed: true, cpu: "vmx", user: null, virtType: "auto" };
  it.each<[Partial<KvmFacts>, Finding["state"], RegExp, RegExp?]>([
    [{}, "ok", /run on KVM/],
    [{ device: false, cpu: null }, "warning", /no virtualisation: guests are emulated/, /nested/],
    [{ device: false }, "warning", /module is not loaded/, /^modprobe kvm_intel$/],
    [{ device: false, cpu: "svm" }, "warning", /module is not loaded/, /^modprobe kvm_amd$/],
    [{ usable: false }, "warning", /this user may not open/, /usermod -aG kvm "\$USER"/],
    [{ usable: false, user: { uid: 64055, gid: 1 } }, "warning", /uid 64055/, /id -nu 64055/],
    [{ listed: false }, "warning", /libvirt lists no KVM/, /virt-host-validate/],
    [{ device: false, virtType: "kvm" }, "failed", /and virt_type is kvm/, /modprobe/],
    [{ device: false, virtType: "qemu" }, "ok", /not asked for/],
  ])("with %j is %s", (facts, state, says, mend) => {
    const found = checkKvm({ ...good, ...facts });
    expect(found).toMatchObject({ state, says: expect.stringMatching(says) });
    expect(found.mend ?? "").toMatch(mend ?? /^$/);
  });

  it("is read off the processor's flags", () => {
    expect(cpuOf("processor : 0\nflags\t\t: fpu vmx sse\n")).toBe("vmx");
    expect(cpuOf("flags\t\t: fpu svm\n")).toBe("svm");
    expect(cpuOf("model name : vmx\nflags\t\t: fpu nosvmx\n")).toBeNull();
  });
});

it("what is not installed is named, with its package and with what lacks it", () => {
  expect(checkTools(() => true).state).toBe("ok");
  expect(checkTools((program) => program !== "qemu-img")).toMatchObject({
    state: "failed",
    says: "no qemu-img",
    mend: "apt-get install qemu-utils",
  });
  const noDrives = checkTools((program) => !/iso|xorriso/.test(program));
  expect(noDrives).toMatchObject({ state: "warning", says: "no genisoimage (guests lack config drives)" });
  expect(checkTools((program) => program !== "genisoimage").state).toBe("ok");
});

it("room on the disk is enough, little, or too little", () => {
  expect([50, 5, 1].map((free) => roomFor("/var", free).state)).toEqual(["ok", "warning", "failed"]);
  expect(roomFor("/var", 1)).toMatchObject({
    says: "1.0 GiB free at /var, of 2 at least",
    mend: expect.stringContaining("df -h /var"),
  });
});

it("a person reads aligned columns, what to do below what it mends, and the sum", () => {
  const findings: Finding[] = [
    { check: "libvirt", state: "ok", says: "it answers" },
    { check: "kvm", state: "failed", says: "none", mend: "modprobe kvm" },
    { check: "key", state: "skipped", says: "not enrolled" },
  ];
  expect(readable(findings)).toBe(
    [
      "✓ libvirt  it answers",
      "✗ kvm      none",
      "           → modprobe kvm",
      "– key      not enrolled",
      "",
      "This host is not ready: 1 of 3 checks failed.",
      "",
    ].join("\n"),
  );
  expect(isReady(findings.slice(0, 1))).toBe(true);
});
