/** The image API against Glance's rules: a row a rule. References are to Glance's tree. */
import { createHash, randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CallOptions, startTestEdge, type TestEdge } from "../edge.ts";
import { tokenOf } from "../tokens.ts";

const V = "/image/v2/images";
const PATCH = { "content-type": "application/openstack-images-v2.1-json-patch" };

let edge: TestEdge;
beforeAll(async () => {
  edge = await startTestEdge();
});
afterAll(() => edge?.close());

async function ask(method: string, path: string, options: CallOptions = {}) {
  const response = await edge.call(method, `${V}${path}`, options);
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: text.startsWith("{") ? JSON.parse(text) : null,
  };
}
async function create(change: object = {}) {
  const body = { name: "i", disk_format: "raw", container_format: "bare", ...change };
  const made = await ask("POST", "", { body });
  expect(made.status, made.text).toBe(201);
  return made.body as { id: string };
}
async function upload(id: string, bytes: Uint8Array<ArrayBuffer>) {
  const token = { "x-auth-token": await (await import("../edge.ts")).login(edge.url) };
  return fetch(`${edge.url}${V}/${id}/file`, { method: "PUT", body: bytes, headers: token });
}
const patch = (id: string, body: unknown) => ask("PATCH", `/${id}`, { body, headers: PATCH });

describe("POST /v2/images (api/v2/images.py)", () => {
  it("makes a queued record, with Glance's defaults, and properties beside them", async () => {
    const { status, body, headers } = await ask("POST", "", { body: { name: "a", hw_machine_type: "q35" } });
    expect(status).toBe(201);
    expect(headers.get("location")).toBe(`${edge.url}${V}/${body.id}`);
    expect(body).toMatchObject({
      name: "a",
      status: "queued",
      visibility: "shared",
      protected: false,
      os_hidden: false,
      tags: [],
      min_ram: 0,
      min_disk: 0,
      size: null,
      checksum: null,
      os_hash_algo: null,
      os_hash_value: null,
      hw_machine_type: "q35",
      self: `/v2/images/${body.id}`,
      file: `/v2/images/${body.id}/file`,
      schema: "/v2/schemas/image",
    });
    expect(body).not.toHaveProperty("bytes");
    expect(body).not.toHaveProperty("properties");
  });
  it.each([
    [{ status: "active" }, "read-only"],
    [{ owner: "x" }, "read-only"],
    [{ disk_format: "floppy" }, "disk_format"],
    [{ visibility: "secret" }, "visibility"],
    [{ min_disk: -1 }, "min_disk"],
    [{ id: "x" }, "id"],
    [{ some_property: 7 }, "some_property"],
    [{ "a/b": "c" }, "no name for a property"],
    [{ tags: ["x".repeat(256)] }, "attribute 0."],
  ])("refuses %j: 400", async (body, message) => {
    const answer = await ask("POST", "", { body });
    expect([answer.status, answer.body.badRequest.message]).toEqual([400, expect.stringContaining(message)]);
  });
  it("refuses an id that is taken: 409", async () => {
    const { id } = await create();
    expect((await ask("POST", "", { body: { id } })).status).toBe(409);
  });
});

describe("the bytes", () => {
  const content = randomBytes(100_000);

  it("are stored once, with their size and hashes, and read back whole or in part", async () => {
    const { id } = await create();
    expect((await upload(id, content)).status).toBe(204);
    const sha512 = createHash("sha512").update(content).digest("hex");
    expect((await ask("GET", `/${id}`)).body).toMatchObject({
      status: "active",
      size: content.length,
      checksum: createHash("md5").update(content).digest("hex"),
      os_hash_algo: "sha512",
      os_hash_value: sha512,
    });
    const whole = await edge.call("GET", `${V}/${id}/file`);
    expect([whole.status, whole.headers.get("content-length")]).toEqual([200, String(content.length)]);
    expect(Buffer.from(await whole.arrayBuffer()).equals(content)).toBe(true);
    const part = await edge.call("GET", `${V}/${id}/file`, { headers: { range: "bytes=99000-" } });
    expect([part.status, part.headers.get("content-range")]).toEqual([206, "bytes 99000-99999/100000"]);
    expect(Buffer.from(await part.arrayBuffer()).equals(content.subarray(99_000))).toBe(true);
    const beyond = await edge.call("GET", `${V}/${id}/file`, { headers: { range: "bytes=100000-" } });
    expect([beyond.status, beyond.headers.get("content-range")]).toEqual([416, "bytes */100000"]);
    expect((await upload(id, content)).status).toBe(409);
  });
  it("of more than one part come back as they went", { timeout: 60_000 }, async () => {
    const large = randomBytes(40 * 1024 * 1024);
    const { id } = await create();
    expect((await upload(id, large)).status).toBe(204);
    const back = Buffer.from(await (await edge.call("GET", `${V}/${id}/file`)).arrayBuffer());
    expect(back.equals(large)).toBe(true);
  });
  it("want their formats first", async () => {
    const { body } = await ask("POST", "", { body: { name: "formless" } });
    expect((await upload(body.id, content)).status).toBe(400);
    expect((await edge.call("GET", `${V}/${body.id}/file`)).status).toBe(204);
  });
  it("of two uploads at once are those of one of them", async () => {
    const { id } = await create();
    const [a, b] = [randomBytes(1000), randomBytes(1000)];
    const answers = await Promise.all([upload(id, a), upload(id, b)]);
    expect(answers.map((answer) => answer.status).sort()).toEqual([204, 409]);
    const won = answers[0]?.status === 204 ? a : b;
    expect(Buffer.from(await (await edge.call("GET", `${V}/${id}/file`)).arrayBuffer()).equals(won)).toBe(true);
  });
});

describe("PATCH /v2/images/{id}", () => {
  it("changes attributes and properties, all or none", async () => {
    const { id } = await create({ os_distro: "debian" });
    const done = await patch(id, [
      { op: "replace", path: "/name", value: "renamed" },
      { op: "add", path: "/hw_disk_bus", value: "virtio" },
      { op: "remove", path: "/os_distro" },
      { op: "replace", path: "/tags", value: ["b", "a", "b"] },
    ]);
    expect(done.status).toBe(200);
    expect(done.body).toMatchObject({ name: "renamed", hw_disk_bus: "virtio", tags: ["a", "b"] });
    expect(done.body).not.toHaveProperty("os_distro");
    const refused = await patch(id, [
      { op: "replace", path: "/name", value: "again" },
      { op: "remove", path: "/nothing" },
    ]);
    expect([refused.status, (await ask("GET", `/${id}`)).body.name]).toEqual([409, "renamed"]);
  });
  it.each([
    [[{ op: "replace", path: "/status", value: "active" }], 403],
    [[{ op: "remove", path: "/name" }], 403],
    [[{ op: "replace", path: "/missing", value: "x" }], 409],
    [[{ op: "replace", path: "/min_ram", value: "much" }], 400],
    [[{ op: "add", path: "/p", value: 7 }], 400],
    [[{ op: "move", path: "/name", value: "x" }], 400],
    [[{ op: "add", path: "name", value: "x" }], 400],
    [[{ op: "add", path: "/__proto__", value: "x" }], 400],
    [{ name: "x" }, 400],
  ])("%j is %i", async (body, status) => {
    const { id } = await create();
    expect((await patch(id, body)).status).toBe(status);
  });
  it("takes Glance's own media type alone", async () => {
    const { id } = await create();
    expect((await ask("PATCH", `/${id}`, { body: [] })).status).toBe(415);
  });
  it("leaves the formats of an active image", async () => {
    const { id } = await create();
    expect((await patch(id, [{ op: "replace", path: "/disk_format", value: "qcow2" }])).status).toBe(200);
    await upload(id, randomBytes(10));
    expect((await patch(id, [{ op: "replace", path: "/disk_format", value: "raw" }])).status).toBe(403);
  });
});

describe("tags, protection, deletion", () => {
  it("are what they say", async () => {
    const { id } = await create({ protected: true });
    expect((await ask("PUT", `/${id}/tags/new`)).status).toBe(204);
    expect((await ask("GET", `/${id}`)).body.tags).toEqual(["new"]);
    expect((await ask("DELETE", `/${id}/tags/new`)).status).toBe(204);
    expect((await ask("DELETE", `/${id}/tags/new`)).status).toBe(404);
    expect((await ask("DELETE", `/${id}`)).status).toBe(403);
    await patch(id, [{ op: "replace", path: "/protected", value: false }]);
    expect((await ask("DELETE", `/${id}`)).status).toBe(204);
    expect((await ask("GET", `/${id}`)).status).toBe(404);
  });
});

describe("POST /v2/images/{id}/actions (api/v2/image_actions.py)", () => {
  it("takes an image from use, and gives it back", async () => {
    const { id } = await create({ visibility: "public" });
    const act = (action: string, options: CallOptions = {}) => ask("POST", `/${id}/actions/${action}`, options);
    expect(await act("deactivate")).toMatchObject({ status: 403, text: expect.stringContaining("status 'queued'") });
    await upload(id, new Uint8Array(4));
    for (const _ of ["once", "again"]) expect((await act("deactivate")).status).toBe(204);
    expect((await ask("GET", `/${id}`)).body.status).toBe("deactivated");
    const token = await tokenOf();
    expect((await ask("GET", `/${id}/file`, { token })).status).toBe(403);
    expect((await ask("GET", `/${id}/file`)).status).toBe(200);
    const server = { name: "s", imageRef: id, flavorRef: "1", networks: "none" };
    const booted = await edge.call("POST", "/compute/v2.1/servers", { body: { server } });
    expect([booted.status, await booted.text()]).toEqual([400, expect.stringContaining("is not active")]);
    expect((await patch(id, [{ op: "replace", path: "/disk_format", value: "iso" }])).status).toBe(403);
    expect((await act("reactivate", { token: await tokenOf({ project: "p".repeat(32) }) })).status).toBe(403);
    expect((await act("reactivate")).status).toBe(204);
    expect((await ask("GET", `/${id}/file`, { token })).status).toBe(200);
    expect((await ask("POST", "/no/actions/deactivate")).status).toBe(404);
    expect((await act("destroy")).status).toBe(404);
  });
});

describe("GET /v2/images", () => {
  let ids: Record<string, string>;
  beforeAll(async () => {
    ids = {};
    for (const [name, change] of [
      ["l-a", { tags: ["x", "y"], os_distro: "debian" }],
      ["l-b", { tags: ["x"], visibility: "public" }],
      ["l-c", { visibility: "community" }],
      ["l-d", { os_hidden: true }],
    ] as const) {
      ids[name] = (await create({ name, ...change })).id;
    }
  });
  const names = async (query: string) => {
    const { body } = await ask("GET", `?${query}&sort=name:asc`);
    return body.images
      .map((image: { name: string | null }) => image.name)
      .filter((name: string | null) => name?.startsWith("l-"));
  };
  it.each([
    ["name=l-a", ["l-a"]],
    ["name=in:l-a,l-b", ["l-a", "l-b"]],
    ["tag=x", ["l-a", "l-b"]],
    ["tag=x&tag=y", ["l-a"]],
    ["os_distro=debian", ["l-a"]],
    ["visibility=public", ["l-b"]],
    ["visibility=community", ["l-c"]],
    ["visibility=all", ["l-a", "l-b", "l-c"]],
    ["os_hidden=true", ["l-d"]],
    ["status=active", []],
    ["", ["l-a", "l-b"]],
  ])("%s", async (query, found) => expect(await names(query)).toEqual(found));
  it("finds by id, as clients resolve many at once", async () => {
    const { body } = await ask("GET", `?id=in:${ids["l-a"]},${ids["l-b"]}`);
    expect(body.images).toHaveLength(2);
  });
  it("pages, keeping the query", async () => {
    const first = (await ask("GET", "?name=in:l-a,l-b&sort=name:asc&limit=1")).body;
    expect(first.images[0].name).toBe("l-a");
    const second = await (await edge.call("GET", `/image${first.next}`)).json();
    expect(second.images.map((image: { name: string }) => image.name)).toEqual(["l-b"]);
    expect(second).not.toHaveProperty("next");
  });
  it.each(["limit=-1", "limit=x", "marker=nope", "sort=nope:asc", "sort_dir=up", "protected=maybe"])(
    "%s is 400",
    async (query) => expect((await ask("GET", `?${query}`)).status).toBe(400),
  );
  it("has schemas for the clients that ask", async () => {
    const schema = await (await edge.call("GET", "/image/v2/schemas/image")).json();
    expect(schema).toMatchObject({ name: "image", additionalProperties: { type: "string" } });
    expect(Object.keys(schema.properties)).toEqual(
      expect.arrayContaining(["id", "name", "visibility", "os_hash_value"]),
    );
  });
});
