/**
 * What any stranger may send to be let in to a console, at random: the upgrade and the page's calls answer each as a
 * refusal, and throw at none. UPGRADE_FUZZ_CASES is how many there are, and UPGRADE_FUZZ_SEED where they begin.
 */
import { env } from "cloudflare:test";
import { expect, it } from "vitest";
import { originAllowed } from "../../functions/console/origin.ts";
import { readTicket, signTicket } from "../../functions/console/ticket.ts";
import { upgradeConsole } from "../../functions/console/upgrade.ts";

const given = env as unknown as { UPGRADE_FUZZ_CASES?: string; UPGRADE_FUZZ_SEED?: string };
const CASES = Number(given.UPGRADE_FUZZ_CASES ?? 4000);
const SEED = Number(given.UPGRADE_FUZZ_SEED ?? 1);
/** Refusals take their time, all of a batch the same. */
const BATCH = 1000;

/** mulberry32: small, and the same everywhere. */
function dice(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const PIECES = [
  "token=",
  "ticket=",
  "&",
  "?",
  "%",
  "%00",
  "%ff",
  "%u",
  "=",
  ";",
  "/",
  "..",
  "é",
  "中",
  "\u{1f600}",
  "a",
  "0",
  "-",
  ".",
  "+",
];
const ORIGINS = [
  "null",
  "http://",
  "https://a",
  "file://",
  "https://[::1",
  "https://a:99999",
  "javascript:1",
  "//",
  "",
  "https://a@b",
  "x",
];

function textOf(roll: () => number, ticket: string): string {
  const pick = <T>(all: readonly T[]) => all[Math.floor(roll() * all.length)] as T;
  const count = Math.floor(roll() * 12);
  const parts = Array.from({ length: count }, () => {
    const kind = roll();
    if (kind < 0.6) return pick(PIECES);
    if (kind < 0.7) return "a".repeat(Math.floor(roll() * 4000));
    if (kind < 0.8) return `${ticket.slice(0, Math.floor(roll() * ticket.length))}`;
    // A ticket with one character changed.
    const at = Math.floor(roll() * ticket.length);
    return kind < 0.9
      ? `${ticket.slice(0, at)}${pick(PIECES)}${ticket.slice(at + 1)}`
      : String.fromCharCode(33 + roll() * 200);
  });
  return parts.join("");
}

function requestOf(roll: () => number, ticket: string): Request {
  const text = textOf(roll, ticket);
  const paths = [`/console/v1/screen?ticket=${text}`, `/?token=${text}`, `/websockify?${text}`, `/${text}`];
  const path = paths[Math.floor(roll() * paths.length)] ?? "/";
  const headers = new Headers({ upgrade: "websocket" });
  // Other characters are in no header that a server hands on.
  const put = (name: string, value: string) => headers.set(name, value.replace(/[^\x20-\x7e]/g, ""));
  if (roll() < 0.3)
    put("origin", `${ORIGINS[Math.floor(roll() * ORIGINS.length)]}${roll() < 0.5 ? text.slice(0, 30) : ""}`);
  if (roll() < 0.3) put("sec-websocket-protocol", roll() < 0.5 ? "binary" : text.slice(0, 200));
  if (roll() < 0.3) put("cf-connecting-ip", text.slice(0, 60));
  for (const name of ["x-edgenova-side", "x-edgenova-session", "x-edgenova-leg"]) if (roll() < 0.2) put(name, "agent");
  return new Request(new URL(`https://edge.example${path.replace(/#/g, "")}`), { headers });
}

/** How the edge's end of a refusal looks to who asked: closed at once, without a byte. */
function closing(ws: WebSocket): Promise<{ code: number; messages: number }> {
  return new Promise((resolve) => {
    let messages = 0;
    ws.addEventListener("message", () => messages++);
    ws.addEventListener("close", ({ code }) => resolve({ code, messages }));
    ws.accept();
  });
}

it(`refuses ${CASES} upgrades at random`, { timeout: 3_600_000 }, async () => {
  const far = { server: crypto.randomUUID(), session: crypto.randomUUID(), leg: 1 };
  // Good in all but that there is no such console.
  const ticket = await signTicket(env, "screen", far, 3600);
  expect(await readTicket(env, "screen", ticket)).toEqual(far);
  for (let first = 0; first < CASES; first += BATCH) {
    const seeds = Array.from({ length: Math.min(BATCH, CASES - first) }, (_, i) => SEED + first + i);
    const wrong = await Promise.all(
      seeds.map(async (seed) => {
        const answer = await upgradeConsole(requestOf(dice(seed), ticket), env).catch((error) => error);
        if (!(answer instanceof Response) || answer.webSocket === null) return `UPGRADE_FUZZ_SEED=${seed}: ${answer}`;
        const { code, messages } = await closing(answer.webSocket);
        return answer.status === 101 && code === 1005 && messages === 0 ? null : `UPGRADE_FUZZ_SEED=${seed}: ${code}`;
      }),
    );
    expect(wrong.filter((one) => one !== null)).toEqual([]);
  }
});

it("looks at any Origin without a throw, and lets none in that only looks like ours", () => {
  const options = { CONSOLE_ALLOWED_ORIGINS: ["https://ok.example"], NOVNCPROXY_BASE_URL: "" };
  const ours = new URL("https://edge.example/");
  for (let seed = SEED; seed < SEED + CASES; seed++) {
    const origin = `https://${textOf(dice(seed), "edge.example").slice(0, 80)}`;
    const allowed = originAllowed(origin, ours, options);
    if (allowed) expect(["https://edge.example", "https://ok.example"]).toContain(new URL(origin).origin);
  }
});
