import { env } from "cloudflare:test";
import { afterEach, expect, it, vi } from "vitest";
import { issueToken, readToken } from "../../functions/identity/token.ts";

const HOUR_MS = 60 * 60 * 1000;
const grant = () => ({ user: { id: "u", name: "u" }, project: null, roles: [], at: Date.now() });

afterEach(() => {
  vi.useRealTimers();
});

it("says the same however often it is read, until it has expired", async () => {
  const { token, claims } = await issueToken(env, grant(), { methods: ["password"] });
  expect(await readToken(env, token)).toEqual(claims);
  expect(await readToken(env, token)).toEqual(claims);
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 2 * HOUR_MS });
  expect(await readToken(env, token)).toBeNull();
});

it("says nothing when one like it was read before", async () => {
  const { token } = await issueToken(env, grant(), { methods: ["password"] });
  expect(await readToken(env, token)).not.toBeNull();
  expect(await readToken(env, `${token.slice(0, -4)}AAAA`)).toBeNull();
});

it("is read however many came before it", async () => {
  const tokens = await Promise.all(
    Array.from({ length: 1100 }, () => issueToken(env, grant(), { methods: ["password"] })),
  );
  for (const { token, claims } of [...tokens, ...tokens.slice(0, 10)])
    expect(await readToken(env, token)).toEqual(claims);
});
