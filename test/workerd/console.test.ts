import { env, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import type { ConnectInfo } from "../../functions/console/console.ts";
import { consoleUrl, tokenHash } from "../../functions/console/mint.ts";
import { readTicket, signTicket } from "../../functions/console/ticket.ts";
import { originAllowed } from "../../functions/console/upgrade.ts";

const info = (change: Partial<ConnectInfo> = {}): ConnectInfo => ({
  console_type: "novnc",
  server: crypto.randomUUID(),
  project_id: "p",
  generation: 1,
  host: "h",
  connect: { transport: "unix", path: "/vnc.sock" },
  expires_at: Date.now() + 60_000,
  ...change,
});
const rows = (name: string) =>
  runInDurableObject(env.CONSOLE.getByName(name), (_, state) => state.storage.sql.databaseSize);

describe("a token", () => {
  it("opens what it was made for, until its alarm", async () => {
    const console = env.CONSOLE.getByName("a");
    const made = info();
    await console.authorize(made);
    expect(await console.info()).toEqual(made);
    expect(await runDurableObjectAlarm(console)).toBe(true);
    expect(await console.info()).toBeNull();
  });

  it("opens nothing once it has expired, though the alarm is late", async () => {
    const console = env.CONSOLE.getByName("b");
    await console.authorize(info({ expires_at: Date.now() - 1 }));
    expect(await console.info()).toBeNull();
  });

  it("is gone when it is revoked", async () => {
    const console = env.CONSOLE.getByName("c");
    await console.authorize(info());
    await console.revoke();
    expect(await console.info()).toBeNull();
  });

  it("that was guessed leaves no storage behind", async () => {
    const console = env.CONSOLE.getByName("guess");
    const before = await rows("guess");
    const answer = await console.fetch("http://edge/", {
      headers: { upgrade: "websocket", "x-edgenova-side": "browser" },
    });
    expect(answer.status).toBe(403);
    expect(await answer.text()).toBe("");
    expect(await rows("guess")).toBe(before);
  });

  it("is known by its hash alone", async () => {
    const hash = await tokenHash("7e5c6ff1-4a9c-4ff7-8b0c-4e1d4d9ad6ce");
    expect(hash).toMatch(/^[0-9a-f]{64}$/);
    expect(hash).toBe(await tokenHash("7e5c6ff1-4a9c-4ff7-8b0c-4e1d4d9ad6ce"));
  });
});

describe("a ticket", () => {
  const ticket = { console: "a".repeat(64), session: crypto.randomUUID() };

  it("lets the agent in while it is fresh", async () => {
    expect(await readTicket(env, await signTicket(env, ticket, 10))).toEqual(ticket);
  });
  it("does not when it is late, changed, of another kind, or no ticket at all", async () => {
    const good = await signTicket(env, ticket, 10);
    expect(await readTicket(env, await signTicket(env, ticket, -10))).toBeNull();
    expect(await readTicket(env, `${good.slice(0, -3)}abc`)).toBeNull();
    expect(await readTicket(env, "")).toBeNull();
    expect(await readTicket(env, "x.y.z")).toBeNull();
  });
});

it.each([
  ["https://edge.example/vnc_auto.html", "https://edge.example/vnc_auto.html?token=T&title=a%20b%28U%29"],
  ["https://edge.example/v.html?x=1", "https://edge.example/v.html?x=1&token=T&title=a%20b%28U%29"],
])("links to %s", (base, url) => {
  expect(consoleUrl(base, "T", "a b(U)")).toBe(url);
});

describe("an Origin", () => {
  const options = { CONSOLE_ALLOWED_ORIGINS: ["https://horizon.example", "plain.example"], NOVNCPROXY_BASE_URL: "" };
  it.each([
    [null, true],
    ["https://edge.example", true],
    ["https://horizon.example", true],
    ["https://plain.example:8443", true],
    ["http://edge.example", false],
    ["https://edge.example:444", false],
    ["https://edge.example.evil", false],
    ["https://evil.example", false],
    ["null", false],
    ["", false],
    ["file://", false],
    ["edge.example", false],
  ])("%s at https://edge.example: %s", (origin, allowed) => {
    expect(originAllowed(origin, new URL("https://edge.example/?token=x"), options)).toBe(allowed);
  });
});
