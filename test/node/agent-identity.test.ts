import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { decodeJwt, importJWK, type JWK, jwtVerify } from "jose";
import { beforeEach, describe, expect, it } from "vitest";
import { parseEdge, socketUrl } from "../../agent/edge.ts";
import { enroll } from "../../agent/enroll.ts";
import { Failure } from "../../agent/failure.ts";
import { loadIdentity } from "../../agent/identity.ts";
import { ScriptedEdge } from "./agent-scripted-edge.ts";
import { temporaryDir } from "./agent-support.ts";

let edge: ScriptedEdge;
beforeEach(async () => {
  edge = await new ScriptedEdge().start();
  return () => edge.stop();
});

function request(stateDir: string) {
  return { edge: edge.url, joinToken: "join-me", host: "hv1", stateDir };
}
const mode = (path: string) => (statSync(path).mode & 0o777).toString(8);

describe("enroll", () => {
  it("sends the public half of a key that nobody else can read", async () => {
    const state = join(temporaryDir(), "deep/state");
    expect(await enroll(request(state))).toEqual({ edge: edge.url, host: "hv1" });
    expect([mode(state), mode(join(state, "key.json")), mode(join(state, "host.json"))]).toEqual(["700", "600", "600"]);
    const { d, ...publicKey } = JSON.parse(readFileSync(join(state, "key.json"), "utf8"));
    expect(d).toBeTypeOf("string");
    expect(edge.enrolments).toEqual([{ join_token: "join-me", host: "hv1", public_key: publicKey }]);
    expect(JSON.parse(readFileSync(join(state, "host.json"), "utf8"))).toEqual({ edge: edge.url, host: "hv1" });
  });

  it("sends the same again when it is repeated, also after the edge's answer was lost", async () => {
    const state = temporaryDir();
    edge.enrolAnswer = () => ({ status: 503, body: {} });
    await expect(enroll(request(state))).rejects.toThrow(Failure);
    edge.enrolAnswer = (host) => ({ status: 201, body: { host } });
    await enroll(request(state));
    await enroll(request(state));
    expect(new Set(edge.enrolments.map((sent) => JSON.stringify(sent))).size).toBe(1);
  });

  it("shows the edge's own words when it refuses, and the clock when that is why", async () => {
    const state = temporaryDir();
    edge.enrolAnswer = () => ({
      status: 403,
      body: { forbidden: { code: 403, message: "This join token was used by another host." } },
    });
    await expect(enroll(request(state))).rejects.toThrow("403: This join token was used by another host.");
    edge.enrolAnswer = () => ({ status: 401, headers: { date: "Mon, 01 Jan 2001 00:00:00 GMT" } });
    await expect(enroll(request(state))).rejects.toThrow(/clock is \d+ s ahead of the edge's/);
  });

  it("keeps one state directory for one host at one edge", async () => {
    const state = temporaryDir();
    await enroll(request(state));
    await expect(enroll({ ...request(state), host: "hv2" })).rejects.toThrow("already belongs to host hv1");
  });

  it("does not follow a redirect with the token", async () => {
    edge.enrolAnswer = () => ({ status: 307, headers: { location: `${edge.url}/elsewhere` } });
    await expect(enroll(request(temporaryDir()))).rejects.toThrow("307");
    expect(edge.enrolments).toHaveLength(1);
  });
});

describe("an edge's URL", () => {
  it.each([
    "http://edge.example",
    "ftp://x",
    "edge.example",
    "https://u:p@edge.example",
    "https://e.example/?a=1",
    "http://127.evil.example",
  ])("refuses %s", (text) => {
    expect(() => parseEdge(text)).toThrow(Failure);
  });
  it("takes https anywhere and http on loopback, and keeps a base path", () => {
    expect(parseEdge("https://edge.example/base/")).toBe("https://edge.example/base");
    expect(["http://127.0.0.1:8787", "http://localhost:1", "http://[::1]:9"].map(parseEdge)).toHaveLength(3);
    expect(socketUrl("https://edge.example/base", "/agent/v1/link")).toBe("wss://edge.example/base/agent/v1/link");
  });
});

describe("the identity", () => {
  it("makes assertions that the edge can verify for 60 s", async () => {
    const state = temporaryDir();
    await enroll(request(state));
    const now = 1_790_000_000_000;
    const assertion = await (await loadIdentity(state)).assertion(now);
    const key = await importJWK(edge.enrolments[0]!.public_key as JWK, "EdDSA");
    await jwtVerify(assertion, key, { issuer: "hv1", audience: "edgenova-agent", currentDate: new Date(now) });
    const { iat, exp } = decodeJwt(assertion);
    expect([iat, exp]).toEqual([now / 1000, now / 1000 + 60]);
  });

  it("says what to do when there is none, or when it is damaged", async () => {
    const state = temporaryDir();
    await expect(loadIdentity(state)).rejects.toThrow('run "edgenova-agent enroll" first');
    writeFileSync(join(state, "host.json"), "{");
    await expect(loadIdentity(state)).rejects.toThrow("is damaged");
  });
});
