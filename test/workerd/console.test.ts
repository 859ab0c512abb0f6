import { env, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import type { ConnectInfo } from "../../functions/console/console-auth.ts";
import { consoleAuthOf, consoleUrl, tokenHash } from "../../functions/console/mint.ts";
import { readTicket, signTicket } from "../../functions/console/ticket.ts";
import { originAllowed } from "../../functions/console/upgrade.ts";

const info = (change: Partial<ConnectInfo> = {}): ConnectInfo => ({
  console_type: "novnc",
  server: crypto.randomUUID(),
  project_id: "p",
  generation: 1,
  screens_ended: 0,
  host: "h",
  connect: { transport: "unix", path: "/vnc.sock" },
  expires_at: Date.now() + 60_000,
  ...change,
});
const rows = (name: string) =>
  runInDurableObject(env.CONSOLE.getByName(name), (_, state) => state.storage.sql.databaseSize);
const kept = (hash: string) =>
  runInDurableObject(consoleAuthOf(env, hash), (_, state) =>
    state.storage.sql.exec("SELECT hash FROM token").toArray(),
  );

describe("a token", () => {
  it("opens what it was made for, and no other", async () => {
    const auth = consoleAuthOf(env, "a1");
    const made = info();
    await auth.authorize("a1", made);
    expect(await auth.info("a1")).toEqual(made);
    expect(await auth.info("a2")).toBeNull();
  });

  it("opens nothing once it has expired, though the alarm is late", async () => {
    const auth = consoleAuthOf(env, "b1");
    await auth.authorize("b1", info({ expires_at: Date.now() - 1 }));
    expect(await auth.info("b1")).toBeNull();
  });

  it("is forgotten when it has expired, and those that are good stay", async () => {
    const auth = consoleAuthOf(env, "c1");
    const later = info({ expires_at: Date.now() + 90_000 });
    await auth.authorize("c2", later);
    // The alarm is for the first to expire, whichever was made first.
    await auth.authorize("c1", info({ expires_at: Date.now() + 50 }));
    await scheduler.wait(60);
    await runDurableObjectAlarm(auth);
    expect(await kept("c1")).toEqual([{ hash: "c2" }]);
    expect(await runInDurableObject(auth, (_, { storage }) => storage.getAlarm())).toBe(later.expires_at);
    expect(await auth.info("c2")).toEqual(later);
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
