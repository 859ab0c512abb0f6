/** The compute API against Nova's rules: a row a rule. References are to Nova's tree. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ask as askEdge, type CallOptions, DEMO_PROJECT, demoImage, startTestEdge, type TestEdge } from "../edge.ts";

const V = "/compute/v2.1";
/** The last microversion: 2.<MAX>. */
const MAX = 96;
const NOBODY = "00000000-0000-4000-8000-000000000000";

let edge: TestEdge;
let image: string;
let server: string;

beforeAll(async () => {
  edge = await startTestEdge({ QUOTA_INSTANCES: "4" });
  await edge.agent("one");
  image = await demoImage(edge.cloud);
  server = await edge.cloud.createServer("first", image, "1");
  await edge.cloud.built(server, 20_000);
});
afterAll(() => edge?.close());

const ask = (method: string, path: string, options?: CallOptions) => askEdge(edge, method, path, options);

describe("microversions (api/openstack/wsgi.py)", () => {
  const asked = (headers: Record<string, string>) =>
    fetch(`${edge.url}${V}/flavors`, { headers: { ...headers, "x-auth-token": token } });
  let token: string;
  beforeAll(async () => {
    token = await (await import("../edge.ts")).login(edge.url);
  });

  it.each([
    [{}, "2.1"],
    [{ "openstack-api-version": "compute 2.38" }, "2.38"],
    [{ "openstack-api-version": "identity 3.1, compute 2.38" }, "2.38"],
    [{ "openstack-api-version": "compute latest" }, `2.${MAX}`],
    [{ "x-openstack-nova-api-version": "2.9" }, "2.9"],
    [{ "x-openstack-nova-api-version": "latest" }, `2.${MAX}`],
    [{ "openstack-api-version": "compute 2.10", "x-openstack-nova-api-version": "2.9" }, "2.10"],
    [{ "openstack-api-version": "volume 3.50" }, "2.1"],
  ])("%j is answered as %s", async (headers, version) => {
    const response = await asked(headers as Record<string, string>);
    expect(response.status).toBe(200);
    expect(response.headers.get("openstack-api-version")).toBe(`compute ${version}`);
    expect(response.headers.get("x-openstack-nova-api-version")).toBe(version);
    expect(response.headers.get("vary")).toContain("OpenStack-API-Version");
  });
  it.each(["2", "v2.5", "2.05", "2.x", "2.1.1", "", "-1"])("%j is malformed: 400", async (version) => {
    const response = await asked({ "openstack-api-version": `compute ${version}` });
    expect(response.status).toBe(400);
    expect((await response.json()).badRequest.message).toContain("is of invalid format");
  });
  it.each(["2.0", `2.${MAX + 1}`, "2.999", "3.1", "1.1"])(
    "%s is out of range: 406, with the headers",
    async (version) => {
      const response = await asked({ "openstack-api-version": `compute ${version}` });
      expect(response.status).toBe(406);
      expect((await response.json()).computeFault.message).toBe(
        `Version ${version} is not supported by the API. Minimum is 2.1 and maximum is 2.${MAX}.`,
      );
      expect(response.headers.get("openstack-api-version")).not.toBeNull();
    },
  );
});

describe("every answer", () => {
  it.each([
    ["GET", `${V}/servers`, 200],
    ["GET", `${V}/servers/${NOBODY}`, 404],
    ["GET", "/nowhere", 404],
    ["GET", "/identity/v3", 200],
    ["PATCH", `${V}/servers`, 405],
  ])("%s %s (%i) names its request, twice the same", async (method, path, status) => {
    const { status: got, headers } = await ask(method, path);
    expect(got).toBe(status);
    expect(headers.get("x-openstack-request-id")).toMatch(/^req-[0-9a-f-]{36}$/);
    expect(headers.get("x-compute-request-id")).toBe(headers.get("x-openstack-request-id"));
  });
  it("to a method that a known path has not, says which it has", async () => {
    const { headers, body } = await ask("PATCH", `${V}/servers`);
    expect(headers.get("allow")).toBe("GET, POST");
    expect(body.badMethod.code).toBe(405);
  });
  it("to no token, or a bad one, is 401", async () => {
    for (const token of [null, "", "x", "a.b.c", "eyJhbGciOiJub25lIn0.e30."]) {
      const { status, body } = await ask("GET", `${V}/servers`, { token });
      expect([status, body.unauthorized.code]).toEqual([401, 401]);
    }
  });
});

describe("the project in the URL", () => {
  it("may be there, and then is in the links", async () => {
    const { status, body } = await ask("GET", `${V}/${DEMO_PROJECT}/servers`);
    expect(status).toBe(200);
    expect(body.servers[0].links[0].href).toBe(`${edge.url}${V}/${DEMO_PROJECT}/servers/${server}`);
    expect(body.servers[0].links[1].href).toBe(`${edge.url}/compute/${DEMO_PROJECT}/servers/${server}`);
  });
  it("must be the token's", async () => {
    const { status, body } = await ask("GET", `${V}/${DEMO_PROJECT.replace("6", "7")}/servers`);
    expect(status).toBe(400);
    expect(body.badRequest.message).toContain("project_id");
  });
});

describe("what is not here", () => {
  it.each([
    ["os-security-groups", { security_groups: [] }],
    ["os-interface", { interfaceAttachments: [] }],
    ["os-volume_attachments", { volumeAttachments: [] }],
    ["ips", { addresses: {} }],
  ])("a server's %s are none, as clients ask for them", async (path, answer) => {
    expect((await ask("GET", `${V}/servers/${server}/${path}`)).body).toEqual(answer);
    expect((await ask("GET", `${V}/servers/${NOBODY}/${path}`)).status).toBe(404);
  });
  it.each([
    ["os-interface", "Interface attachment", "network", { interfaceAttachment: { net_id: NOBODY } }],
    ["os-volume_attachments", "Volume attachment", "volume", { volumeAttachment: { volumeId: NOBODY } }],
  ])("nothing is attached to a server by %s", async (path, what, service, attach) => {
    const below = `${V}/servers/${server}/${path}`;
    const refused = await ask("POST", below, { body: attach });
    expect([refused.status, refused.body.notImplemented.message]).toEqual([
      501,
      `There is no ${service} service here.`,
    ]);
    for (const method of ["GET", "DELETE"]) {
      const { status, body } = await ask(method, `${below}/${NOBODY}`);
      expect([status, body.itemNotFound.message]).toEqual([404, `${what} could not be found.`]);
    }
    expect((await ask("POST", `${V}/servers/${NOBODY}/${path}`, { body: attach })).status).toBe(404);
  });
  it("a server's addresses on a network are 404", async () => {
    expect((await ask("GET", `${V}/servers/${server}/ips/private`)).status).toBe(404);
  });
  it.each(["os-networks", "os-security-groups", "os-volumes/detail", "os-floating-ips"])(
    "%s is empty up to 2.35, and 404 after",
    async (path) => {
      expect(Object.values((await ask("GET", `${V}/${path}`, { minor: 35 })).body)).toEqual([[]]);
      expect((await ask("GET", `${V}/${path}`, { minor: 36 })).status).toBe(404);
    },
  );
  it.each(["os-cells", "os-fping/x", "os-networks/add", `servers/${NOBODY}/consoles`])(
    "%s is gone: 410",
    async (path) => {
      const { status, body } = await ask("GET", `${V}/${path}`);
      expect([status, body.computeFault.code]).toEqual([410, 410]);
    },
  );
});

describe("flavors (views/flavors.py)", () => {
  it("are listed by id, with the next page's link", async () => {
    const { body } = await ask("GET", `${V}/flavors?limit=2`);
    expect(body.flavors.map((one: { id: string }) => one.id)).toEqual(["1", "2"]);
    expect(body.flavors_links[0].href).toContain("marker=2");
    expect((await ask("GET", `${V}/flavors?marker=4`)).body.flavors).toHaveLength(1);
    expect((await ask("GET", `${V}/flavors?marker=nope`)).status).toBe(400);
    expect((await ask("GET", `${V}/flavors/detail?minRam=8192`)).body.flavors).toHaveLength(2);
    expect((await ask("GET", `${V}/flavors/detail?sort_key=name&sort_dir=desc`)).body.flavors[0].name).toBe(
      "m1.xlarge",
    );
  });
  it.each([
    [1, ["description", "extra_specs"], []],
    [55, ["extra_specs"], ["description"]],
    [61, [], ["description", "extra_specs"]],
  ])("at 2.%i have no %j, but %j", async (minor, without, having) => {
    const { flavor } = (await ask("GET", `${V}/flavors/1`, { minor })).body;
    expect(flavor).toMatchObject({ id: "1", ram: 512, vcpus: 1, disk: 1, swap: "", rxtx_factor: 1 });
    for (const field of without) expect(flavor).not.toHaveProperty(field);
    for (const field of having) expect(flavor).toHaveProperty(field);
  });
  it("that do not exist are 404", async () => {
    const { status, body } = await ask("GET", `${V}/flavors/m1.tiny`);
    expect([status, body.itemNotFound.message]).toEqual([404, "Flavor m1.tiny could not be found."]);
    expect((await ask("GET", `${V}/flavors/1/os-extra_specs`)).body).toEqual({ extra_specs: {} });
  });
});
