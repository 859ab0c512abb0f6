/** How long a revoked token lives, and what a check costs. */
import { beforeEach, expect, it } from "vitest";
import { FRESH_MS, RevocationCache, STALE_MS } from "../../functions/identity/revocation-cache.ts";
import type { Revocation } from "../../functions/identity/revocations.ts";
import type { TokenClaims } from "../../functions/identity/token.ts";

const START = 1_000_000;
let now: number;
let list: Revocation[];
let asked: number[];
let behind: Promise<unknown>[];
let cache: RevocationCache;

beforeEach(() => {
  now = START;
  list = [];
  asked = [];
  behind = [];
  const source = async (since: number) => {
    asked.push(since);
    return list.filter(({ seq }) => seq > since);
  };
  cache = new RevocationCache(source, () => now);
});
const token = (issued = START - 1): TokenClaims => ({
  user: { id: "u", name: "u" },
  project: { id: "p", name: "p" },
  roles: [],
  methods: ["password"],
  jti: "j",
  iat: issued / 1000,
  exp: START,
});
const check = (said = token()) => cache.revoked(said, (work) => void behind.push(work));
const revoke = (subject: string) => list.push({ seq: list.length + 1, subject, before: now, until: now + 3_600_000 });

it("asks once, and then not while the copy is fresh", async () => {
  for (let at = 0; at < 100; at++) expect(await check()).toBe(false);
  now += FRESH_MS;
  await check();
  expect(asked).toEqual([0]);
  expect(behind).toHaveLength(0);
});

it("refreshes behind the answer, once, when it is older", async () => {
  await check();
  revoke("user:u");
  now += FRESH_MS + 1;
  expect(await Promise.all([check(), check()])).toEqual([false, false]);
  expect(behind).toHaveLength(1);
  await Promise.all(behind);
  expect(await check()).toBe(true);
});

it("asks first when the copy is stale: nothing lives longer than that", async () => {
  await check();
  revoke("token:j");
  now += STALE_MS + 1;
  expect(await check()).toBe(true);
  expect(behind).toHaveLength(0);
});

it("asks only for what is new", async () => {
  revoke("user:other");
  revoke("user:another");
  await check();
  now += STALE_MS + 1;
  await check();
  expect(asked).toEqual([0, 2]);
});

it.each(["token:j", "user:u", "project:p", "member:u:p"])(
  "%s voids what was issued before, not after",
  async (subject) => {
    revoke(subject);
    expect(await check(token(now - 1))).toBe(true);
    expect(await check(token(now))).toBe(true);
    expect(await check(token(now + 1))).toBe(false);
  },
);

it("lets nobody in on a stale copy when the list cannot be had", async () => {
  await check();
  const broken = new RevocationCache(
    () => Promise.reject(new Error("no object")),
    () => now,
  );
  await expect(broken.revoked(token(), () => undefined)).rejects.toThrow("no object");
});
