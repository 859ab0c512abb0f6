import { env, evictDurableObject, runInDurableObject } from "cloudflare:test";
import { expect, it } from "vitest";
import { hashPassword, verifyPassword } from "../../functions/identity/password.ts";
import { ADMIN_USER, DEFAULT_PROJECT, MIGRATIONS } from "../../functions/identity/tables.ts";
import { migrate } from "../../functions/store/migrate.ts";

const identity = (name: string) => env.IDENTITY.getByName(name);

it("hashes with scrypt, salted, and knows the password again", async () => {
  const stored = await hashPassword("correct horse");
  expect(stored).toMatch(/^scrypt\$16384\$8\$1\$[\w-]{22}\$[\w-]{43}$/);
  expect(await hashPassword("correct horse")).not.toBe(stored);
  expect(await verifyPassword(stored, "correct horse")).toBe(true);
  expect(await verifyPassword(stored, "correct horse ")).toBe(false);
  expect(await verifyPassword(null, "")).toBe(false);
  expect(await verifyPassword("md5$x", "x")).toBe(false);
});

it("keeps users, and what was revoked, when it is evicted", async () => {
  const stub = identity("evicted");
  const made = await stub.create("user", { name: "ann", password: "x" });
  const id = made.ok ? made.value.id : "";
  await stub.update("user", id, { enabled: false });
  await evictDurableObject(stub);
  expect(await stub.show("user", id)).toMatchObject({ name: "ann", enabled: false });
  expect(await stub.revocations(0)).toEqual([expect.objectContaining({ subject: `user:${id}` })]);
});

it("takes along what a deployment had before there were other users", async () => {
  await runInDurableObject(identity("upgraded"), async (_, { storage }) => {
    await storage.deleteAll();
    migrate(storage, MIGRATIONS.slice(0, 1));
    storage.sql.exec("INSERT INTO project VALUES ('p', 'old')");
    storage.sql.exec("INSERT INTO agent VALUES ('host', 'key', 'then')");
  });
  await evictDurableObject(identity("upgraded"));
  expect(await identity("upgraded").show("project", "p")).toMatchObject({
    name: "old",
    enabled: true,
    description: "",
  });
  expect(await identity("upgraded").agentKey("host")).toBe("key");
  expect(await identity("upgraded").challenge({ user: { name: "admin" }, address: "here" })).toMatchObject({
    value: { user_id: ADMIN_USER.id, stored: "operator" },
  });
});

it("gives no token for a password that changed while it was hashed", async () => {
  const stub = identity("race");
  const made = await stub.create("user", { name: "ann", password: "old" });
  const id = made.ok ? made.value.id : "";
  const proof = { user_id: id, stored: "old" };
  expect(await stub.loggedIn(proof, null, "here")).toMatchObject({ ok: true });
  await stub.update("user", id, { password: "new" });
  expect(await stub.loggedIn(proof, null, "here")).toEqual({ ok: false, error: "unauthorized" });
});

it("counts attempts of a pair in a window that slides", async () => {
  const stub = identity("window");
  const attempt = () => stub.challenge({ user: { name: "admin" }, address: "here" });
  for (let at = 0; at < 10; at++) expect(await attempt()).toMatchObject({ ok: true, value: { stored: "operator" } });
  expect(await attempt()).toMatchObject({ ok: false });
  expect(await stub.challenge({ user: { id: ADMIN_USER.id }, address: "here" })).toMatchObject({ ok: false });
  expect(await stub.challenge({ user: { name: "admin" }, address: "there" })).toMatchObject({ ok: true });
  await runInDurableObject(stub, (_, state) => {
    state.storage.sql.exec("UPDATE attempt SET at = at - 300000 WHERE rowid = 1");
  });
  expect(await attempt()).toMatchObject({ ok: true });
  expect(await attempt()).toMatchObject({ ok: false });
});

it("orders a revocation and the token after it within one millisecond", async () => {
  const stub = identity("order");
  for (let at = 0; at < 50; at++) {
    await runInDurableObject(stub, (object) => {
      const before = object.loggedIn({ user_id: ADMIN_USER.id, stored: "operator" }, DEFAULT_PROJECT, "here");
      if (!before.ok) throw new Error("refused");
      const said = { ...before.value, methods: [], jti: "j", iat: before.value.at / 1000, exp: 0 };
      object.revoke({ jti: "j" });
      expect(object.rescope(said, null)).toMatchObject({ ok: false });
      const after = object.loggedIn({ user_id: ADMIN_USER.id, stored: "operator" }, DEFAULT_PROJECT, "here");
      if (!after.ok) throw new Error("refused");
      expect(object.rescope({ ...said, iat: after.value.at / 1000 }, null)).toMatchObject({ ok: true });
    });
  }
});
