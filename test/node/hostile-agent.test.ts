/** Agents that lie, babble or forge, against the real edge: each is closed or ignored as the protocol says, and the edge serves on. */
import { generateKeyPair, SignJWT } from "jose";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { CLOSE, MAX_FRAME_CHARS } from "../../functions/protocol/frames.ts";
import { MAX_CONSOLE_BYTES } from "../../functions/protocol/methods.ts";
import { demoImage, login, startTestEdge, type TestAgent, type TestEdge, until } from "../edge.ts";
import { type RawHost, RawLink, rawHost } from "./raw-agent.ts";

const SERVER = "11111111-1111-4111-8111-111111111111";
/** The edge takes up to 32 MiB a frame from the wire, and ends the connection above. */
const TOO_BIG_FOR_THE_RUNTIME = 40_000_000;
const MESSAGE_TOO_BIG = 1009;

const result = (value: string) => `{"t":"result","call":"x","outcome":{"ok":true,"value":${value}}}`;
const fieldsOf = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`f${i}`, i]));
const LARGEST = JSON.stringify({
  text: "x".repeat(MAX_CONSOLE_BYTES),
  list: Array(1024).fill(fieldsOf(64)),
  fields: fieldsOf(64),
});

const SIZE = { hypervisor_type: "raw", hypervisor_version: 1, vcpus: 4, memory_mb: 4096, local_gb: 100 };
const told = (change: object) =>
  JSON.stringify({ t: "inventory", inventory: { hypervisor_hostname: "evil", ...SIZE, ...change } });
const THOUSAND = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`m${i}`, i]));
const FEATURES = Array.from({ length: 1025 }, (_, i) => `${"f".repeat(60)}${i}`);
const CPU = { vendor: "", model: "", arch: "x", topology: { cells: 1, sockets: 1, cores: 1, threads: 1 } };

let edge: TestEdge;
let image: string;
let honest: TestAgent;
let evil: RawHost;
let bystander: string;

beforeAll(async () => {
  edge = await startTestEdge();
  image = await demoImage(edge.cloud);
  honest = await edge.agent("honest");
  evil = await rawHost(edge, "evil");
  const { id, built } = await build("honest");
  expect((await built).status).toBe("ACTIVE");
  bystander = id;
});
afterAll(async () => {
  evil?.close();
  await edge?.close();
});

/** Whatever the evil host did: the honest one never lost its link, and is asked for its server's screen over it. */
afterEach(async () => {
  expect(await edge.cloud.consoleUrl(bystander)).toContain("token=");
  expect(await show(bystander)).toMatchObject({ status: "ACTIVE", "OS-EXT-SRV-ATTR:host": "honest" });
  expect(honest.logs.filter(({ event }) => event === "link.waiting" || event === "link.refused")).toEqual([]);
});

async function build(host: string) {
  const server = { name: "a", imageRef: image, flavorRef: "1", networks: "none", availability_zone: `nova:${host}` };
  const response = await edge.call("POST", "/compute/v2.1/servers", { body: { server } });
  expect(response.status).toBe(202);
  const { id } = (await response.json()).server as { id: string };
  return { id, built: edge.cloud.built(id, 20_000) };
}

async function show(id: string) {
  const response = await edge.call("GET", `/compute/v2.1/servers/${id}`);
  return response.status === 200 ? (await response.json()).server : null;
}

describe("at the door", () => {
  const now = () => Math.floor(Date.now() / 1000);
  const sign = async (change: { iss?: string; aud?: string; iat?: number; exp?: number }) => {
    const { privateKey } = await generateKeyPair("EdDSA", { crv: "Ed25519" });
    return new SignJWT()
      .setProtectedHeader({ alg: "EdDSA" })
      .setIssuer(change.iss ?? "evil")
      .setAudience(change.aud ?? "edgenova-agent")
      .setIssuedAt(change.iat ?? now())
      .setExpirationTime(change.exp ?? now() + 60)
      .sign(privateKey);
  };
  const unsigned = (iss: string) =>
    [{ alg: "none" }, { iss, aud: "edgenova-agent", iat: now(), exp: now() + 60 }]
      .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
      .concat("")
      .join(".");
  const elsewhere = async () => {
    const [head, claims, signature] = (await evil.identity.assertion()).split(".");
    const forged = { ...JSON.parse(String(Buffer.from(claims!, "base64url"))), iss: "honest" };
    return [head, Buffer.from(JSON.stringify(forged)).toString("base64url"), signature].join(".");
  };

  it.each<[string, () => Promise<string> | string]>([
    ["a key that nobody enrolled", () => sign({})],
    ["another host's name under its own key", elsewhere],
    ["another host's name under a new key", () => sign({ iss: "honest" })],
    ["a host that never was", () => sign({ iss: "nobody" })],
    ["an assertion that has expired", () => evil.identity.assertion(Date.now() - 10 * 60_000)],
    ["an assertion from the future", () => evil.identity.assertion(Date.now() + 10 * 60_000)],
    ["no signature at all", () => unsigned("evil")],
    ["a user's token", () => login(edge.url)],
    ["nothing", () => ""],
    ["garbage", () => "x".repeat(4096)],
  ])("%s is refused with 401, in the same words", async (_who, bearer) => {
    const authorization = `Bearer ${await bearer()}`;
    const link = new RawLink(edge.url, authorization.slice("Bearer ".length));
    await link.end();
    expect(link.refused).toBe(401);
    // fetch may not ask for an upgrade, so the words are read where the same key opens a plain request.
    const image = await edge.call("GET", `/agent/v1/images/${SERVER}`, { token: null, headers: { authorization } });
    expect(await image.json()).toEqual({
      unauthorized: { code: 401, message: "The agent's credentials were not accepted." },
    });
  });
});

describe("before its hello", () => {
  it.each<[string, object | string | Buffer, number]>([
    ["lies about its host's name", { host: "honest" }, CLOSE.WRONG_HOST],
    ["speaks only a version of the future", { versions: { min: 7, max: 9 } }, CLOSE.NO_COMMON_VERSION],
    ["sends a hello of the wrong shape", { guests: "many" }, CLOSE.BAD_FRAME],
    ["claims more guests than any host has", { guests: Array(10_001).fill({}) }, CLOSE.BAD_FRAME],
  ])("an agent that %s is closed", async (_what, change, code) => {
    const link = await evil.link({ hello: false });
    link.send(evil.hello(change as object));
    expect((await link.end()).code).toBe(code);
    expect(link.frames).toEqual([]);
  });

  it("an agent that reports without one is closed", async () => {
    const link = await evil.link({ hello: false });
    link.send({ t: "report", guests: [{ server: SERVER, generation: 1, power_state: 1 }] });
    expect(await link.end()).toEqual({ code: CLOSE.BAD_FRAME, reason: "hello comes first" });
  });
});

describe("on a good link", () => {
  it.each<[string, string | Buffer, number]>([
    ["garbage", "\u0000\uffff}{", CLOSE.BAD_FRAME],
    ["JSON without a kind", "[1,2,3]", CLOSE.BAD_FRAME],
    ["JSON of great depth", `${"[".repeat(100_000)}${"]".repeat(100_000)}`, CLOSE.BAD_FRAME],
    ["a prototype for a kind", '{"t":"__proto__","__proto__":{"t":"hello"}}', 0],
    ["an unknown kind", '{"t":"gossip","about":"everything"}', 0],
    ["a binary frame", Buffer.from("ping"), CLOSE.BAD_FRAME],
    ["a frame above the protocol's limit", "x".repeat(MAX_FRAME_CHARS + 1), CLOSE.TOO_BIG],
    ["a frame of 40 MB", "x".repeat(TOO_BIG_FOR_THE_RUNTIME), MESSAGE_TOO_BIG],
    ["a call that nobody made", '{"t":"result","call":"x","outcome":{"ok":true,"value":{}}}', 0],
    ["a result of the wrong shape", '{"t":"result","call":"x","outcome":{"ok":"maybe"}}', 0],
    ["a value of great depth", result(`{"a":${"[".repeat(900)}${"]".repeat(900)}}`), 0],
    ["a value one level too deep", result('{"a":[{"b":{"c":1}}]}'), 0],
    ["a value of too many fields", result(JSON.stringify({ a: fieldsOf(65) })), 0],
    ["a value of too long a list", result(JSON.stringify({ a: Array(1025).fill({}) })), 0],
    ["a text that no console holds", result(JSON.stringify({ a: "x".repeat(MAX_CONSOLE_BYTES + 1) })), 0],
    ["the largest value that may be, of no call", result(LARGEST), 0],
    ["guests of no project", `{"t":"report","guests":[{"server":"${SERVER}","generation":9,"power_state":1}]}`, 0],
    ["a negative inventory", '{"t":"inventory","inventory":{"vcpus":-1}}', CLOSE.BAD_FRAME],
    ["a memory beyond all numbers", told({ memory_mb: 1e308 }), CLOSE.BAD_FRAME],
    ["a metric beyond all sums", told({ metrics: { "cpu.percent": 1e308 } }), CLOSE.BAD_FRAME],
    ["a metric that is a text", told({ metrics: { "cpu.percent": "99" } }), CLOSE.BAD_FRAME],
    ["a thousand metrics", told({ metrics: THOUSAND }), CLOSE.BAD_FRAME],
    ["a ratio of nothing", told({ options: { cpu_allocation_ratio: 0 } }), CLOSE.BAD_FRAME],
    ["a reservation below nothing", told({ options: { reserved_host_memory_mb: -5 } }), CLOSE.BAD_FRAME],
    [
      "a processor of more features than there are",
      told({ cpu_info: { ...CPU, features: FEATURES } }),
      CLOSE.BAD_FRAME,
    ],
    ["the largest cpu_info that may be", told({ cpu_info: { ...CPU, features: FEATURES.slice(1) } }), 0],
  ])("%s is ignored or ends it", async (_what, frame, code) => {
    const link = await evil.link();
    link.send(frame);
    if (code !== 0) {
      await until(() => link.ws.readyState !== WebSocket.OPEN, "the edge closes it");
      // After its own 1009 the runtime keeps the TCP connection for 10 s more: nobody waits for that.
      if (code === MESSAGE_TOO_BIG) link.ws.terminate();
      expect((await link.end()).code).toBe(code);
    } else {
      link.send("ping");
      await until(() => link.texts.includes("pong"), "the edge still answers on it");
      expect(link.closed).toBeNull();
      // Nothing was asked of it: least of all to destroy what it made up.
      expect(link.frames.filter(({ t }) => t === "call")).toEqual([]);
      link.ws.close();
    }
  });

  it("a second hello is a new report on the same link", async () => {
    const link = await evil.link();
    link.send(evil.hello({ inventory: { ...evil.inventory, vcpus: 8 } }));
    await until(() => link.frames.filter(({ t }) => t === "welcome").length === 2, "it is welcomed again");
    link.send(evil.hello({ host: "honest" }));
    expect((await link.end()).code).toBe(CLOSE.WRONG_HOST);
  });

  it("a second link of the same host replaces the first", async () => {
    const first = await evil.link();
    const second = await evil.link();
    expect((await first.end()).code).toBe(CLOSE.REPLACED);
    expect(second.closed).toBeNull();
    second.ws.close();
  });
});

describe("about servers of other hosts", () => {
  it("its word is not taken, and nothing of theirs is asked of it", async () => {
    const before = await show(bystander);
    const link = await evil.link();
    link.send({ t: "result", call: `${bystander}:1:destroy`, outcome: { ok: true, value: {} } });
    link.send({ t: "report", guests: [{ server: bystander, generation: 99, power_state: 4 }] });
    // It says that it runs a server that is elsewhere: that copy is to be ended, on this host alone.
    const told = await until(() => link.frames.find(({ t }) => t === "call"), "it is told to end its copy");
    expect(told).toMatchObject({ method: "destroy", server: bystander });
    expect(await show(bystander)).toEqual(before);
    link.ws.close();
  });

  it("a value of the wrong shape fails the build, and leaves no claim", async () => {
    const link = await evil.link();
    link.onCall = ({ method }) =>
      method === "spawn" ? { ok: true, value: { power_state: 2 } } : { ok: true, value: {} };
    for (let i = 0; i < 8; i++) {
      // Of 4096 MiB, 512 of them reserved, 8 servers of 512 would not fit if one claim were kept.
      const { id, built } = await build(evil.host);
      expect(await built).toMatchObject({
        status: "ERROR",
        fault: { message: expect.stringContaining("wrong shape") },
      });
      await edge.call("DELETE", `/compute/v2.1/servers/${id}`);
      await until(async () => (await show(id)) === null, "it is deleted");
    }
    expect(link.closed).toBeNull();
    link.ws.close();
  });
});
