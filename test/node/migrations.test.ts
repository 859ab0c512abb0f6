/** /os-migrations and /servers/{id}/migrations (migrations.py, server_migrations.py). */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { mayAbort } from "../../functions/api/migration-status.ts";
import type { NewMigration } from "../../functions/project/migration.ts";
import { ask, type CallOptions, DEMO_PROJECT, demoImage, startTestEdge, type TestEdge } from "../edge.ts";
import { moveOf } from "../moves.ts";
import { tokenOf } from "../tokens.ts";

const V = "/compute/v2.1";

type Env = { PROJECT: { getByName(name: string): { saveMigration(move: NewMigration): Promise<void> } } };

let edge: TestEdge;
let server: string;
let manager: string;
/** A live migration under way, a resize that is done and one that is hidden, all of `server`; one of another project. */
let live: NewMigration;
let resize: NewMigration;
let other: NewMigration;

const ago = (seconds: number) => new Date(Date.now() - seconds * 1000).toISOString();

beforeAll(async () => {
  edge = await startTestEdge();
  await edge.agent("one");
  const image = await demoImage(edge.cloud);
  const flavor = (await ask(edge, "GET", `${V}/flavors`)).body.flavors[0].id;
  const body = { server: { name: "a", imageRef: image, flavorRef: flavor, networks: "none" } };
  server = (await ask(edge, "POST", `${V}/servers`, { body })).body.server.id;
  const lab = (await ask(edge, "POST", "/identity/v3/projects", { body: { project: { name: "lab" } } })).body.project
    .id;
  const mine = { instance_uuid: server, project_id: DEMO_PROJECT, user_id: "ann" };
  const progress = {
    memory_total: 6,
    memory_processed: 4,
    memory_remaining: 2,
    disk_total: 3,
    disk_processed: 2,
    disk_remaining: 1,
  };
  live = moveOf({ ...mine, created_at: ago(60), updated_at: ago(30), progress });
  resize = moveOf({ ...mine, created_at: ago(90), migration_type: "resize", status: "finished", user_id: "bob" });
  other = moveOf({ project_id: lab, created_at: ago(10), source_compute: "three", status: "error" });
  const env = await edge.harness.getWorker<Env>().getEnv();
  for (const move of [live, resize, { ...live, uuid: crypto.randomUUID(), hidden: true }]) {
    await env.PROJECT.getByName(DEMO_PROJECT).saveMigration(move);
  }
  await env.PROJECT.getByName(lab).saveMigration(other);
  manager = await tokenOf({ roles: ["manager"] });
});
afterAll(() => edge?.close());

const list = (query = "", options: CallOptions = {}) =>
  ask(edge, "GET", `${V}/os-migrations${query}`, { minor: 80, ...options });
const uuids = async (query: string, options: CallOptions = {}) =>
  (await list(query, options)).body.migrations.map(({ uuid }: { uuid: string }) => uuid);

describe("the list of moves", () => {
  it("is shown to an admin whole, newest first, with what each microversion has", async () => {
    const links = [
      { rel: "self", href: expect.stringContaining(`/v2.1/servers/${server}/migrations/`) },
      { rel: "bookmark", href: expect.stringContaining(`/compute/servers/${server}/migrations/`) },
    ];
    const first = {
      id: expect.any(Number),
      instance_uuid: server,
      status: "running",
      source_compute: "one",
      source_node: "one",
      dest_compute: "two",
      dest_node: "two",
      dest_host: null,
      old_instance_type_id: "1",
      new_instance_type_id: "1",
      created_at: expect.stringMatching(/^[^Z]*\.\d{6}$/),
      updated_at: expect.stringMatching(/^[^Z]*\.\d{6}$/),
    };
    const typed = { ...first, migration_type: "live-migration", links };
    const named = { ...typed, uuid: live.uuid };
    const owned = { ...named, user_id: "ann", project_id: DEMO_PROJECT };
    for (const [minor, shown] of [
      [1, first],
      [22, first],
      [23, typed],
      [58, typed],
      [59, named],
      [79, named],
      [80, owned],
      [96, owned],
    ] as const) {
      const { status, body } = await list("", { minor });
      expect([status, body.migrations.length]).toEqual([200, 3]);
      expect(body.migrations[1]).toEqual(shown);
      expect(body.migrations[2].links).toBeUndefined();
    }
    expect(await uuids("")).toEqual([other.uuid, live.uuid, resize.uuid]);
  });
  it("is shown to a manager for the own project, without hosts; to others not at all", async () => {
    const { body } = await list("", { token: manager });
    expect(body.migrations.map(({ uuid }: { uuid: string }) => uuid)).toEqual([live.uuid, resize.uuid]);
    const none = { source_compute: null, source_node: null, dest_compute: null, dest_node: null, dest_host: null };
    expect(body.migrations[0]).toMatchObject(none);
    expect(await uuids(`?project_id=${DEMO_PROJECT}`, { token: manager })).toEqual([live.uuid, resize.uuid]);
    expect((await list(`?project_id=${other.project_id}`, { token: manager })).status).toBe(403);
    expect((await list("", { token: await tokenOf({ roles: ["member"] }) })).status).toBe(403);
  });
  it.each([
    ["?status=running", () => [live]],
    ["?migration_type=resize", () => [resize]],
    ["?source_compute=three", () => [other]],
    ["?host=two", () => [other, live, resize]],
    ["?hidden=true", () => []],
    ["?hidden=false&status=finished", () => [resize]],
    ["?user_id=bob", () => [resize]],
    ["?limit=1", () => [other]],
  ])("%s finds what it says", async (query, found) => {
    expect(await uuids(query)).toEqual(found().map(({ uuid }) => uuid));
  });
  it("is filtered by server, by project and by the time of the last change", async () => {
    expect(await uuids(`?instance_uuid=${server}`)).toEqual([live.uuid, resize.uuid]);
    expect(await uuids(`?project_id=${other.project_id}`)).toEqual([other.uuid]);
    expect(await uuids("?project_id=none")).toEqual([]);
    expect(await uuids(`?changes-since=${ago(40)}`)).toEqual([other.uuid, live.uuid]);
    expect(await uuids(`?changes-since=${ago(40)}&changes-before=${ago(20)}`)).toEqual([live.uuid]);
  });
  it("has pages from 2.59 on", async () => {
    const first = (await list("?limit=2")).body;
    expect(first.migrations_links).toEqual([
      { rel: "next", href: expect.stringMatching(new RegExp(`/os-migrations\\?limit=2&marker=${live.uuid}$`)) },
    ]);
    expect(await uuids(`?limit=2&marker=${live.uuid}`)).toEqual([resize.uuid]);
    expect((await list(`?marker=${crypto.randomUUID()}`)).status).toBe(400);
    expect((await list("?limit=1", { minor: 58 })).body.migrations).toHaveLength(3);
  });
  it.each([
    ["?other=1", 58, 200],
    ["?other=1", 59, 400],
    ["?changes-since=x", 58, 200],
    ["?changes-since=x", 59, 400],
    ["?changes-before=2026-01-01T00:00:00Z", 65, 400],
    ["?changes-before=2026-01-01T00:00:00Z", 66, 200],
    ["?changes-since=2026-01-02&changes-before=2026-01-01", 66, 400],
    ["?user_id=bob", 79, 400],
    ["?user_id=bob", 80, 200],
    ["?user_id=bob&user_id=ann", 80, 400],
    ["?project_id=p", 79, 400],
  ])("%s at 2.%i is %i", async (query, minor, status) => {
    expect((await list(query, { minor })).status).toBe(status);
  });
});

describe("a server's moves", () => {
  const of = (path = "", options: CallOptions = {}) =>
    ask(edge, "GET", `${V}/servers/${server}/migrations${path}`, { minor: 80, ...options });

  it("are the live migrations that are under way, with how far they are", async () => {
    const { id } = (await list("?status=running")).body.migrations[0];
    const shown = {
      id,
      server_uuid: server,
      status: "running",
      source_compute: "one",
      source_node: "one",
      dest_compute: "two",
      dest_node: "two",
      dest_host: null,
      created_at: expect.any(String),
      updated_at: expect.any(String),
      memory_total_bytes: 6,
      memory_processed_bytes: 4,
      memory_remaining_bytes: 2,
      disk_total_bytes: 3,
      disk_processed_bytes: 2,
      disk_remaining_bytes: 1,
    };
    const named = { ...shown, uuid: live.uuid };
    const owned = { ...named, user_id: "ann", project_id: DEMO_PROJECT };
    for (const [minor, one] of [
      [23, shown],
      [58, shown],
      [59, named],
      [79, named],
      [80, owned],
    ] as const) {
      expect((await of("", { minor })).body.migrations[0]).toEqual(one);
      expect((await of(`/${id}`, { minor })).body).toEqual({ migration: one });
    }
  });
  it("are a manager's to list, without hosts, and an admin's to show", async () => {
    const { id } = (await list("?status=running")).body.migrations[0];
    const seen = await of("", { token: manager });
    expect([seen.status, seen.body.migrations[0].source_compute]).toEqual([200, null]);
    expect((await of(`/${id}`, { token: manager })).status).toBe(403);
    expect((await of("", { token: await tokenOf({ roles: ["member"] }) })).status).toBe(403);
    const stranger = await tokenOf({ project: "e".repeat(32), roles: ["manager"] });
    expect((await of("", { token: stranger })).status).toBe(404);
  });
  it("are not there before 2.23", async () => {
    expect((await of("", { minor: 22 })).status).toBe(404);
    expect((await of("/1", { minor: 22 })).status).toBe(404);
  });
  it("that are no live migration, or none at all, are not shown: 404", async () => {
    const done = (await list("?status=finished")).body.migrations[0].id;
    const words = async (id: number) => {
      const { status, body } = await of(`/${id}`);
      return [status, body.itemNotFound.message];
    };
    expect(await words(done)).toEqual([404, `Migration ${done} for server ${server} is not live-migration.`]);
    expect(await words(0)).toEqual([404, `In-progress live migration 0 is not found for server ${server}.`]);
    const none = await ask(edge, "GET", `${V}/servers/${crypto.randomUUID()}/migrations`, { minor: 80 });
    expect(none.status).toBe(404);
  });
});

describe("a move of a server that is not being moved", () => {
  const at = (method: string, path: string, options: CallOptions = {}) =>
    ask(edge, method, `${V}/servers/${server}/migrations/${path}`, { minor: 65, ...options });
  const force = { body: { force_complete: null } };

  it("is neither called off nor completed: 409", async () => {
    await edge.cloud.built(server, 20_000);
    const off = await at("DELETE", "1");
    expect([off.status, off.body.conflictingRequest.message]).toEqual([
      409,
      `Cannot 'abort live migration' instance ${server} while it is in vm_state active`,
    ]);
    const forced = await at("POST", "1/action", force);
    expect([forced.status, forced.body.conflictingRequest.message]).toEqual([
      409,
      `Cannot 'force_complete' instance ${server} while it is in vm_state active`,
    ]);
  });
  it("was completed from 2.22 on, and called off from 2.24 on; by managers", async () => {
    expect((await at("POST", "1/action", { ...force, minor: 21 })).status).toBe(404);
    expect((await at("POST", "1/action", { ...force, minor: 22 })).status).toBe(409);
    expect((await at("DELETE", "1", { minor: 23 })).status).toBe(404);
    expect((await at("DELETE", "1", { minor: 24 })).status).toBe(409);
    expect((await at("DELETE", "1", { token: manager })).status).toBe(409);
    const token = await tokenOf();
    expect((await at("DELETE", "1", { token })).status).toBe(403);
    expect((await at("POST", "1/action", { ...force, token })).status).toBe(403);
    for (const body of [{}, { force_complete: {} }, { other: null }]) {
      expect((await at("POST", "1/action", { body })).status).toBe(400);
    }
  });
});

it.each([
  ["running", true, true],
  ["queued", false, true],
  ["preparing", false, true],
  ["post-migrating", false, false],
  ["completed", false, false],
])("a live migration that is %s may be called off: at 2.64 %s, at 2.65 %s", (status, before, since) => {
  expect([mayAbort(status, 64), mayAbort(status, 65)]).toEqual([before, since]);
});
