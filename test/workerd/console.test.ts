import { env, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { describe, expect, it } from "vitest";
import { consoleAuthOf, consoleUrl, tokenHash } from "../../functions/console/mint.ts";
import { originAllowed } from "../../functions/console/origin.ts";
import { readTicket, signTicket } from "../../functions/console/ticket.ts";

const giver = { user_id: "u", user_name: "u", project_id: "p", app_credential: null, is_admin: false };
const SERVER = "0b6a1c2e-7a55-4a63-9a6e-2f4f7a1d9c11";
const soon = () => Date.now() + 60_000;
const rows = (name: string) =>
  runInDurableObject(env.CONSOLE.getByName(name), (_, state) => state.storage.sql.databaseSize);
const kept = (hash: string) =>
  runInDurableObject(consoleAuthOf(env, hash), (_, state) =>
    state.storage.sql.exec("SELECT hash FROM token").toArray(),
  );

describe("a token", () => {
  it("is one server's, and no other is", async () => {
    const auth = consoleAuthOf(env, "a1");
    await auth.authorize("a1", SERVER, giver, soon());
    expect(await auth.serverOf("a1")).toBe(SERVER);
    expect(await auth.serverOf("a2")).toBeNull();
  });

  it("is forgotten when that is due, and those that are good stay", async () => {
    const auth = consoleAuthOf(env, "c1");
    const later = Date.now() + 90_000;
    await auth.authorize("c2", SERVER, giver, later);
    // The alarm is for the first that is due, whichever was made first.
    await auth.authorize("c1", SERVER, giver, Date.now() + 50);
    await scheduler.wait(60);
    await runDurableObjectAlarm(auth);
    expect(await kept("c1")).toEqual([{ hash: "c2" }]);
    expect(await runInDurableObject(auth, (_, { storage }) => storage.getAlarm())).toBe(later);
    expect(await auth.serverOf("c2")).toBe(SERVER);
  });

  it("for a server that has no console leaves no storage behind", async () => {
    const console = env.CONSOLE.getByName("guess");
    const before = await rows("guess");
    const answer = await console.fetch("http://edge/", {
      headers: { upgrade: "websocket", "x-edgenova-side": "stock", "x-edgenova-token-hash": "a".repeat(64) },
    });
    expect(answer.status).toBe(403);
    expect(await answer.text()).toBe("");
    const entry = { hash: "a".repeat(64), address: "192.0.2.1", attempt: null, pin: "none" } as const;
    expect(await console.open(entry)).toMatchObject({ ok: false, error: { why: "unknown" } });
    expect(await rows("guess")).toBe(before);
  });

  it("is known by its hash alone", async () => {
    const hash = await tokenHash("7e5c6ff1-4a9c-4ff7-8b0c-4e1d4d9ad6ce");
    expect(hash).toMatch(/^[0-9a-f]{64}$/);
    expect(hash).toBe(await tokenHash("7e5c6ff1-4a9c-4ff7-8b0c-4e1d4d9ad6ce"));
  });
});

describe("a ticket", () => {
  const ticket = { server: SERVER, session: crypto.randomUUID(), leg: 1 };

  it.each(["agent", "screen", "resume"] as const)(
    "of the kind %s lets in who has it while it is fresh",
    async (kind) => {
      expect(await readTicket(env, kind, await signTicket(env, kind, ticket, 10))).toEqual(ticket);
    },
  );
  it("does not when it is late, changed, of another kind, or no ticket at all", async () => {
    const good = await signTicket(env, "screen", ticket, 10);
    expect(await readTicket(env, "screen", await signTicket(env, "screen", ticket, -10))).toBeNull();
    expect(await readTicket(env, "screen", `${good.slice(0, -3)}abc`)).toBeNull();
    expect(await readTicket(env, "resume", good)).toBeNull();
    expect(await readTicket(env, "screen", "")).toBeNull();
    expect(await readTicket(env, "screen", "x.y.z")).toBeNull();
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
