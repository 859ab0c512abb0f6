/** POST /os-aggregates/{id}/images: hosts fetch images ahead of their servers (aggregates.py images). */
import { afterAll, beforeAll, expect, it } from "vitest";
import { ask, type CallOptions, demoImage, startTestEdge, type TestEdge, until } from "../edge.ts";
import { tokenOf } from "../tokens.ts";
import { type RawHost, type RawLink, rawHost } from "./raw-agent.ts";

const V = "/compute/v2.1";
const NOBODY = "00000000-0000-4000-8000-000000000000";

let edge: TestEdge;
let image: string;
let other: string;
let aggregate: number;
let hosts: RawHost[];
let links: RawLink[];

const call = (method: string, path: string, body?: unknown, options: CallOptions = {}) =>
  ask(edge, method, `${V}/os-aggregates${path}`, { minor: 81, ...options, ...(body === undefined ? {} : { body }) });
const cached = (link: RawLink | undefined) =>
  (link?.frames ?? []).flatMap((frame) => (frame.t === "call" && frame.method === "cache_image" ? [frame.params] : []));

beforeAll(async () => {
  edge = await startTestEdge();
  image = await demoImage(edge.cloud);
  other = await demoImage(edge.cloud, "other");
  hosts = [await rawHost(edge, "in"), await rawHost(edge, "away"), await rawHost(edge, "out")];
  links = await Promise.all(hosts.map((host) => host.link()));
  for (const link of links) {
    link.onCall = () => ({ ok: true, value: { cached: false } });
    await link.welcomed();
  }
  aggregate = (await call("POST", "", { aggregate: { name: "a" } })).body.aggregate.id;
  for (const host of ["in", "away"]) await call("POST", `/${aggregate}/action`, { add_host: { host } });
  links[1]?.ws.close();
  await links[1]?.end();
});
afterAll(async () => {
  for (const link of links) link.ws.close();
  for (const host of hosts) host.close();
  await edge?.close();
});

it("has each host of the aggregate that is there fetch each image", async () => {
  const answer = await call("POST", `/${aggregate}/images`, { cache: [{ id: image }, { id: other }] });
  expect([answer.status, answer.body]).toEqual([202, null]);
  await until(() => cached(links[0]).length === 2, "the host is asked for both");
  expect(cached(links[0])).toEqual(
    expect.arrayContaining([
      { image: expect.objectContaining({ id: image, disk_format: "raw", sha512: expect.any(String) }) },
      { image: expect.objectContaining({ id: other }) },
    ]),
  );
  expect(cached(links[2])).toEqual([]);
});

it.each([
  [{ cache: [] }, 400],
  [{}, 400],
  [{ cache: [{ id: "x" }] }, 400],
  [{ cache: [{ id: NOBODY }] }, 400],
  [{ cache: [{ id: NOBODY, other: 1 }] }, 400],
])("%j is %i", async (body, status) => {
  expect((await call("POST", `/${aggregate}/images`, body)).status).toBe(status);
});

it("takes no image twice, knows its aggregates, is for admins, and came with 2.81", async () => {
  const body = { cache: [{ id: image }] };
  expect((await call("POST", `/${aggregate}/images`, { cache: [{ id: image }, { id: image }] })).status).toBe(400);
  expect((await call("POST", "/999/images", body)).status).toBe(404);
  const token = await tokenOf({ roles: ["manager"] });
  expect((await call("POST", `/${aggregate}/images`, body, { token })).status).toBe(403);
  expect((await call("POST", `/${aggregate}/images`, body, { minor: 80 })).status).toBe(404);
});
