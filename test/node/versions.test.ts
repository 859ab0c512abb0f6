/** The version documents, and the endpoint for clients from before microversions (versions.py, legacy.ts). */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ask, type CallOptions, DEMO_PROJECT, startTestEdge, type TestEdge } from "../edge.ts";

let edge: TestEdge;

beforeAll(async () => {
  edge = await startTestEdge();
});
afterAll(() => edge?.close());

describe("the versions", () => {
  it("are listed at the root, to anybody", async () => {
    const { status, body } = await ask(edge, "GET", "/compute/", { token: null });
    expect(status).toBe(200);
    const self = (path: string) => [{ rel: "self", href: `${edge.url}/compute/${path}/` }];
    expect(body.versions).toEqual([
      {
        id: "v2.0",
        status: "DEPRECATED",
        version: "",
        min_version: "",
        updated: "2011-01-21T11:33:21Z",
        links: self("v2"),
      },
      {
        id: "v2.1",
        status: "CURRENT",
        version: expect.stringMatching(/^2\.\d+$/),
        min_version: "2.1",
        updated: "2013-07-23T11:33:21Z",
        links: self("v2.1"),
      },
    ]);
  });
  it.each([
    ["v2", "v2.0", ";version=2"],
    ["v2/", "v2.0", ";version=2"],
    ["v2.1", "v2.1", ";version=2.1"],
    ["v2.1/", "v2.1", ";version=2.1"],
  ])("%s has a document of its own", async (path, id, type) => {
    const { status, body } = await ask(edge, "GET", `/compute/${path}`, { token: null });
    expect([status, body.version.id]).toEqual([200, id]);
    const [{ base, type: media }] = body.version["media-types"];
    expect([base, media]).toEqual(["application/json", `application/vnd.openstack.compute+json${type}`]);
  });
  it.each(["/compute/servers/x?a=b", `/compute/${DEMO_PROJECT}/flavors/1`, "/compute/v3"])(
    "%s could be in either",
    async (path) => {
      const { status, body } = await ask(edge, "GET", path, { token: null });
      const rest = path.replace("/compute/", "");
      expect([status, body.choices]).toEqual([
        300,
        [
          expect.objectContaining({
            id: "v2.0",
            links: [{ rel: "self", href: `${edge.url}/compute/v2/${rest}` }],
          }),
          expect.objectContaining({
            id: "v2.1",
            status: "CURRENT",
            links: [{ rel: "self", href: `${edge.url}/compute/v2.1/${rest}` }],
          }),
        ],
      ]);
    },
  );
  it("have no others below them: 404", async () => {
    for (const path of ["/compute/v2/nothing", "/compute/v2.1/nothing"]) {
      expect((await ask(edge, "GET", path)).status).toBe(404);
      expect((await ask(edge, "GET", path, { token: null })).status).toBe(401);
    }
  });
});

describe("/v2", () => {
  const call = (method: string, path: string, body?: unknown, options: CallOptions = {}) =>
    ask(edge, method, `/compute/v2${path}`, { ...options, ...(body === undefined ? {} : { body }) });

  it("knows no microversions, whatever is asked for, and says nothing of them", async () => {
    for (const version of ["compute 2.53", "compute 9.9", "compute x"]) {
      const headers = { "openstack-api-version": version, "x-openstack-nova-api-version": "2.53" };
      const { status, body, headers: answered } = await call("GET", "/flavors/1", undefined, { headers });
      expect([status, body.flavor.swap]).toEqual([200, ""]);
      expect(body.flavor).not.toHaveProperty("description");
      expect(answered.get("openstack-api-version")).toBeNull();
      expect(answered.get("x-openstack-nova-api-version")).toBeNull();
      expect(answered.get("x-compute-request-id")).toMatch(/^req-/);
    }
  });
  it("links to itself, with the project where it was in the URL", async () => {
    const links = async (path: string) => (await call("GET", path)).body.flavor.links;
    expect(await links("/flavors/1")).toEqual([
      { rel: "self", href: `${edge.url}/compute/v2/flavors/1` },
      { rel: "bookmark", href: `${edge.url}/compute/flavors/1` },
    ]);
    expect((await links(`/${DEMO_PROJECT}/flavors/1`))[0].href).toBe(
      `${edge.url}/compute/v2/${DEMO_PROJECT}/flavors/1`,
    );
  });
  it("overlooks blanks around names and properties that it does not know", async () => {
    const flavor = { name: "  old style ", ram: 64, vcpus: 1, disk: 1, id: "old", unknown: { deep: 1 } };
    const made = await call("POST", "/flavors", { flavor, other: 1 });
    expect([made.status, made.body.flavor.name]).toEqual([200, "old style"]);
    expect((await ask(edge, "POST", "/compute/v2.1/flavors", { body: { flavor } })).status).toBe(400);
    const aggregate = { name: " a ", availability_zone: " z ", hosts: [] };
    const { id, name, availability_zone } = (await call("POST", "/os-aggregates", { aggregate })).body.aggregate;
    expect([name, availability_zone]).toEqual(["a", "z"]);
    const metadata = { name: " kept " };
    const set = await call("POST", `/os-aggregates/${id}/action`, { set_metadata: { metadata, other: 1 } });
    expect(set.body.aggregate.metadata).toMatchObject({ name: " kept " });
  });
  it("refuses what is wrong, as 2.1 does", async () => {
    const wrong = await call("POST", "/flavors", { flavor: { name: "x", ram: "much", vcpus: 1, disk: 1, other: 1 } });
    expect([wrong.status, wrong.body.badRequest.message]).toEqual([400, expect.stringContaining("attribute ram.")]);
    expect((await call("POST", "/flavors", { flavor: { name: "  ", ram: 1, vcpus: 1, disk: 1 } })).status).toBe(400);
    expect((await call("POST", "/os-aggregates/1/action", { fly: {} })).status).toBe(400);
    const nobody = "/servers/00000000-0000-4000-8000-000000000000/action";
    expect((await call("POST", nobody, { reboot: { type: "SOFT", other: 1 } })).status).toBe(404);
    expect((await call("POST", nobody, { reboot: { type: "softly" } })).status).toBe(400);
  });
});
