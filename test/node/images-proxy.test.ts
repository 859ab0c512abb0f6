/** /images and their metadata, as Nova passed them on up to 2.35 and 2.38 (images.py, image_metadata.py). */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ask, type CallOptions, demoImage, startTestEdge, type TestEdge } from "../edge.ts";
import { tokenOf } from "../tokens.ts";

const V = "/compute/v2.1";
const NOBODY = "00000000-0000-4000-8000-000000000000";

let edge: TestEdge;
let active: string;
let queued: string;
let member: string;

const call = (method: string, path: string, body?: unknown, options: CallOptions = {}) =>
  ask(edge, method, `${V}/images${path}`, { minor: 35, ...options, ...(body === undefined ? {} : { body }) });
const make = async (image: object) => (await ask(edge, "POST", "/image/v2/images", { body: image })).body.id as string;

beforeAll(async () => {
  edge = await startTestEdge({ QUOTA_METADATA_ITEMS: "3" });
  active = await demoImage(edge.cloud, "ready");
  queued = await make({ name: "waits", visibility: "private", min_ram: 64, min_disk: 2, instance_uuid: NOBODY });
  member = await tokenOf({ project: "e".repeat(32) });
});
afterAll(() => edge?.close());

describe("images", () => {
  const ids = async (path: string, options: CallOptions = {}) =>
    (await call("GET", path, undefined, options)).body.images.map(({ id }: { id: string }) => id);

  it("are listed, in brief and in detail", async () => {
    const { body } = await call("GET", "?limit=1");
    const links = [
      { rel: "self", href: `${edge.url}${V}/images/${queued}` },
      { rel: "bookmark", href: `${edge.url}/compute/images/${queued}` },
      { rel: "alternate", type: "application/vnd.openstack.image", href: `${edge.url}/image/images/${queued}` },
    ];
    expect(body.images).toEqual([{ id: queued, name: "waits", links }]);
    expect(body.images_links[0].href).toContain(`marker=${queued}`);
    expect(await ids(`?marker=${queued}`)).toEqual([active]);
    const detailed = (await call("GET", "/detail")).body.images;
    expect(detailed[0]).toEqual({
      id: queued,
      name: "waits",
      links,
      minRam: 64,
      minDisk: 2,
      metadata: { instance_uuid: NOBODY },
      created: expect.stringMatching(/^[^.]*Z$/),
      updated: expect.stringMatching(/^[^.]*Z$/),
      status: "SAVING",
      progress: 25,
      "OS-EXT-IMG-SIZE:size": 0,
      server: { id: NOBODY, links: expect.any(Array) },
    });
    expect(detailed[1]).toMatchObject({ id: active, status: "ACTIVE", progress: 100 });
    expect(detailed[1]["OS-EXT-IMG-SIZE:size"]).toBeGreaterThan(0);
    expect((await call("GET", `/${active}`)).body.image).toEqual(detailed[1]);
  });
  it.each([
    ["?name=ready", () => [active]],
    ["?status=SAVING", () => [queued]],
    ["?minRam=1", () => [queued]],
    ["?minDisk=3", () => []],
    [`?server=https://x/servers/${NOBODY}`, () => [queued]],
    ["?type=snapshot", () => []],
    ["?changes-since=2999-01-01T00:00:00Z", () => []],
    ["?other=1", () => [queued, active]],
  ])("%s finds what it says", async (query, found) => {
    expect(await ids(query)).toEqual(found());
  });
  it("of others are shown if they are public", async () => {
    expect(await ids("", { token: member })).toEqual([active]);
    expect((await call("GET", `/${queued}`, undefined, { token: member })).status).toBe(404);
    expect((await call("DELETE", `/${active}`, undefined, { token: member })).status).toBe(403);
  });
  it("are not here from 2.36 on", async () => {
    for (const path of ["", "/detail", `/${active}`]) {
      expect((await call("GET", path, undefined, { minor: 36 })).status).toBe(404);
    }
    expect((await call("DELETE", `/${queued}`, undefined, { minor: 36 })).status).toBe(404);
  });
  it("are deleted", async () => {
    const id = await make({ name: "gone" });
    expect((await call("DELETE", `/${id}`)).status).toBe(204);
    expect((await call("GET", `/${id}`)).status).toBe(404);
  });
  it.each([
    ["GET", "?marker=nope", 400],
    ["GET", "?limit=x", 400],
    ["GET", `/${NOBODY}`, 404],
    ["DELETE", `/${NOBODY}`, 404],
  ])("%s %s is %i", async (method, path, status) => {
    expect((await call(method, path)).status).toBe(status);
  });
});

describe("an image's metadata", () => {
  let id: string;
  beforeAll(async () => {
    id = await make({ name: "described", a: "1" });
  });
  const at = (method: string, key = "", body?: unknown, options: CallOptions = {}) =>
    call(method, `/${id}/metadata${key}`, body, { minor: 38, ...options });

  it("is added to, replaced, and changed item by item", async () => {
    expect((await at("GET")).body).toEqual({ metadata: { a: "1" } });
    expect((await at("POST", "", { metadata: { b: "2" } })).body).toEqual({ metadata: { a: "1", b: "2" } });
    expect((await at("PUT", "", { metadata: { c: "3" } })).body).toEqual({ metadata: { c: "3" } });
    expect((await at("PUT", "/c", { meta: { c: "4" } })).body).toEqual({ meta: { c: "4" } });
    expect((await at("PUT", "/d", { meta: { d: "5" } })).body).toEqual({ meta: { d: "5" } });
    expect((await at("GET", "/d")).body).toEqual({ meta: { d: "5" } });
    expect((await at("DELETE", "/d")).status).toBe(204);
    expect((await at("GET")).body).toEqual({ metadata: { c: "4" } });
    expect((await ask(edge, "GET", `/image/v2/images/${id}`)).body).toMatchObject({ c: "4", name: "described" });
  });
  it("has no more items than the quota lets it", async () => {
    const { status, body } = await at("PUT", "", { metadata: { a: "", b: "", c: "", d: "" } });
    expect([status, body.forbidden.message]).toEqual([403, "Maximum number of metadata items exceeds 3"]);
  });
  it.each([
    ["PUT", "/a", { meta: { b: "1" } }, 400],
    ["PUT", "/a", { meta: { a: "1", b: "1" } }, 400],
    ["PUT", "/a", { meta: {} }, 400],
    ["POST", "", { metadata: { "a/b": "1" } }, 400],
    ["POST", "", { metadata: { name: "other" } }, 400],
    ["POST", "", { metadata: { schema: "other" } }, 403],
    ["GET", "/nope", undefined, 404],
    ["DELETE", "/nope", undefined, 404],
  ])("%s %s %j is %i", async (method, key, body, status) => {
    expect((await at(method, key, body)).status).toBe(status);
  });
  it("is its owner's to change, and not here from 2.39 on", async () => {
    const path = `/${active}/metadata`;
    expect((await call("POST", path, { metadata: { a: "1" } }, { token: member })).status).toBe(403);
    expect((await call("GET", path, undefined, { token: member })).status).toBe(200);
    for (const [method, key, body] of [
      ["GET", ""],
      ["POST", "", { metadata: {} }],
      ["PUT", "", { metadata: {} }],
      ["GET", "/c"],
      ["PUT", "/c", { meta: { c: "1" } }],
      ["DELETE", "/c"],
    ] as const) {
      expect((await at(method, key, body, { minor: 39 })).status).toBe(404);
    }
  });
});
