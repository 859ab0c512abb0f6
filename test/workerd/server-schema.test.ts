import { env, runInDurableObject } from "cloudflare:test";
import { expect, it } from "vitest";
import { MIGRATIONS, SCHEMA } from "../../functions/conductor/server-store.ts";

/** Every table and index with its columns, in the order of their names. */
function tables(made: readonly string[]) {
  return runInDurableObject(env.SERVER.getByName(crypto.randomUUID()), (_, { storage: { sql } }) => {
    for (const one of made) sql.exec(one);
    const names = sql.exec<{ name: string; type: string }>(
      "SELECT name, type FROM sqlite_master WHERE name NOT LIKE '\\_cf%' ESCAPE '\\' ORDER BY name",
    );
    return names.toArray().map((one) => {
      const columns = sql
        .exec(`PRAGMA table_info(${one.name})`)
        .toArray()
        .map(({ cid, ...column }) => column);
      const indexes = sql
        .exec(`PRAGMA index_info(${one.name})`)
        .toArray()
        .map(({ cid, ...column }) => column);
      return { ...one, indexes, columns: columns.sort((a, b) => String(a.name).localeCompare(String(b.name))) };
    });
  });
}

it("is the same for a new server as for one that took every step", async () => {
  const made = await tables([SCHEMA]);
  expect(made.map(({ name }) => name)).toContain("saga");
  expect(made).toEqual(await tables(MIGRATIONS));
});
