/** No input is a 500: every route, with every way to be wrong that needs no knowledge of it. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestEdge, type TestEdge } from "../edge.ts";

const NOBODY = "00000000-0000-4000-8000-000000000000";
const ROUTES = [
  ["GET", "/compute/v2.1/servers"],
  ["POST", "/compute/v2.1/servers"],
  ["GET", "/compute/v2.1/servers/detail"],
  ["GET", `/compute/v2.1/servers/${NOBODY}`],
  ["DELETE", `/compute/v2.1/servers/${NOBODY}`],
  ["POST", `/compute/v2.1/servers/${NOBODY}/action`],
  ["POST", `/compute/v2.1/servers/${NOBODY}/remote-consoles`],
  ["PUT", `/compute/v2.1/servers/${NOBODY}`],
  ["GET", `/compute/v2.1/servers/${NOBODY}/metadata`],
  ["POST", `/compute/v2.1/servers/${NOBODY}/metadata`],
  ["PUT", `/compute/v2.1/servers/${NOBODY}/metadata/k`],
  ["PUT", `/compute/v2.1/servers/${NOBODY}/tags`],
  ["PUT", `/compute/v2.1/servers/${NOBODY}/tags/t`],
  ["GET", `/compute/v2.1/servers/${NOBODY}/os-instance-actions`],
  ["GET", `/compute/v2.1/servers/${NOBODY}/os-instance-actions/req-1`],
  ["GET", "/compute/v2.1/flavors"],
  ["GET", "/compute/v2.1/flavors/detail"],
  ["GET", `/compute/v2.1/flavors/${NOBODY}`],
  ["GET", `/compute/v2.1/flavors/${NOBODY}/os-extra_specs`],
  ["GET", `/compute/v2.1/os-quota-sets/${NOBODY}`],
  ["PUT", `/compute/v2.1/os-quota-sets/${NOBODY}`],
  ["GET", `/compute/v2.1/os-quota-sets/${NOBODY}/detail`],
  ["GET", `/compute/v2.1/os-quota-sets/${NOBODY}/defaults`],
  ["DELETE", `/compute/v2.1/os-quota-sets/${NOBODY}`],
  ["GET", "/compute/v2.1/os-quota-class-sets/default"],
  ["PUT", "/compute/v2.1/os-quota-class-sets/default"],
  ["GET", "/compute/v2.1/limits"],
  ["GET", "/compute/v2.1/os-simple-tenant-usage"],
  ["GET", `/compute/v2.1/os-simple-tenant-usage/${NOBODY}`],
  ["POST", "/compute/v2.1/flavors"],
  ["PUT", `/compute/v2.1/flavors/${NOBODY}`],
  ["DELETE", `/compute/v2.1/flavors/${NOBODY}`],
  ["POST", `/compute/v2.1/flavors/${NOBODY}/os-extra_specs`],
  ["PUT", `/compute/v2.1/flavors/${NOBODY}/os-extra_specs/k`],
  ["GET", `/compute/v2.1/flavors/${NOBODY}/os-flavor-access`],
  ["POST", `/compute/v2.1/flavors/${NOBODY}/action`],
  ["GET", "/compute/v2.1/os-hypervisors"],
  ["GET", "/compute/v2.1/os-hypervisors/detail"],
  ["GET", "/compute/v2.1/os-hypervisors/statistics"],
  ["GET", `/compute/v2.1/os-hypervisors/${NOBODY}`],
  ["GET", `/compute/v2.1/os-hypervisors/${NOBODY}/uptime`],
  ["GET", "/compute/v2.1/os-hypervisors/x/search"],
  ["GET", "/compute/v2.1/os-hypervisors/x/servers"],
  ["GET", "/compute/v2.1/os-services"],
  ["PUT", `/compute/v2.1/os-services/${NOBODY}`],
  ["DELETE", `/compute/v2.1/os-services/${NOBODY}`],
  ["GET", "/compute/v2.1/os-availability-zone"],
  ["GET", "/compute/v2.1/os-availability-zone/detail"],
  ["GET", "/compute/v2.1/os-keypairs"],
  ["POST", "/compute/v2.1/os-keypairs"],
  ["GET", "/compute/v2.1/os-keypairs/x"],
  ["DELETE", "/compute/v2.1/os-keypairs/x"],
  ["GET", "/compute/v2.1/os-server-groups"],
  ["POST", "/compute/v2.1/os-server-groups"],
  ["GET", `/compute/v2.1/os-server-groups/${NOBODY}`],
  ["DELETE", `/compute/v2.1/os-server-groups/${NOBODY}`],
  ["GET", "/compute/v2.1/os-aggregates"],
  ["POST", "/compute/v2.1/os-aggregates"],
  ["GET", "/compute/v2.1/os-aggregates/99"],
  ["PUT", "/compute/v2.1/os-aggregates/99"],
  ["DELETE", "/compute/v2.1/os-aggregates/99"],
  ["POST", "/compute/v2.1/os-aggregates/99/action"],
  ["GET", "/image/v2/images"],
  ["POST", "/image/v2/images"],
  ["GET", `/image/v2/images/${NOBODY}`],
  ["DELETE", `/image/v2/images/${NOBODY}`],
  ["GET", `/image/v2/images/${NOBODY}/file`],
  ["PUT", `/image/v2/images/${NOBODY}/file`],
  ["PATCH", `/image/v2/images/${NOBODY}`],
  ["PUT", `/image/v2/images/${NOBODY}/tags/t`],
  ["GET", "/image/v2/schemas/image"],
  ["GET", "/image/v2/schemas/images"],
  ["POST", "/agent/v1/join-tokens"],
  ["GET", "/identity/v3/auth/tokens"],
  ["DELETE", "/identity/v3/auth/tokens"],
  ["GET", "/identity/v3/auth/projects"],
  ["GET", "/identity/v3/auth/catalog"],
  ...["users", "projects", "roles"].flatMap((plural) => [
    ["GET", `/identity/v3/${plural}`] as const,
    ["POST", `/identity/v3/${plural}`] as const,
    ["GET", `/identity/v3/${plural}/${NOBODY}`] as const,
    ["PATCH", `/identity/v3/${plural}/${NOBODY}`] as const,
    ["DELETE", `/identity/v3/${plural}/${NOBODY}`] as const,
  ]),
  ["GET", `/identity/v3/users/${NOBODY}/projects`],
  ["GET", `/identity/v3/projects/${NOBODY}/users/${NOBODY}/roles`],
  ["GET", `/identity/v3/projects/${NOBODY}/users/${NOBODY}/roles/${NOBODY}`],
  ["PUT", `/identity/v3/projects/${NOBODY}/users/${NOBODY}/roles/${NOBODY}`],
  ["DELETE", `/identity/v3/projects/${NOBODY}/users/${NOBODY}/roles/${NOBODY}`],
  ["GET", "/identity/v3/role_assignments"],
  ["GET", `/identity/v3/users/${NOBODY}/application_credentials`],
  ["POST", `/identity/v3/users/${NOBODY}/application_credentials`],
  ["GET", `/identity/v3/users/${NOBODY}/application_credentials/${NOBODY}`],
  ["DELETE", `/identity/v3/users/${NOBODY}/application_credentials/${NOBODY}`],
  ["GET", "/identity/v3/domains"],
  ["GET", `/identity/v3/domains/${NOBODY}`],
] as const;
/** Without a user's token. */
const OPEN = [
  ["POST", "/identity/v3/auth/tokens"],
  ["POST", `/identity/v3/users/${NOBODY}/password`],
  ["GET", "/identity/v3/OS-FEDERATION/identity_providers/oidc/protocols/openid/auth"],
  ["POST", "/identity/v3/OS-FEDERATION/identity_providers/oidc/protocols/openid/auth"],
  ["POST", "/agent/v1/enroll"],
  ["GET", "/agent/v1/link"],
  ["GET", `/agent/v1/console/${"a".repeat(64)}`],
  ["GET", `/agent/v1/images/${NOBODY}`],
] as const;

const BODIES: Record<string, string> = {
  "no JSON": "{",
  "a number": "7",
  "a list": "[]",
  null: "null",
  "an unknown property only": '{"nonsense":1}',
  "deep JSON": `{"server":${'{"a":'.repeat(10_000)}1${"}".repeat(10_001)}`,
  "2 MiB": JSON.stringify({ server: { name: "x".repeat(2 * 1024 * 1024) } }),
  "wrong types": JSON.stringify({
    server: { name: [], flavorRef: {}, imageRef: 7, metadata: "x", networks: 7 },
    auth: { identity: { methods: "password", password: [] }, scope: 7 },
    remote_console: [],
    quota_set: [],
    quota_class_set: 7,
    join_token: {},
    name: {},
    ...Object.fromEntries(["user", "project", "role"].map((kind) => [kind, { name: {}, enabled: "x", password: 7 }])),
  }),
  "a prototype": '{"__proto__":{"server":{}},"server":{"__proto__":{"name":"x"}}}',
  "an unpaired surrogate": '{"server":{"name":"\\ud800","flavorRef":"1","imageRef":""}}',
};

let edge: TestEdge;
beforeAll(async () => {
  edge = await startTestEdge();
});
afterAll(() => edge?.close());

/** A fault in Nova's envelope, and never the server's own. */
async function expectFault(response: Response) {
  const text = await response.text();
  expect(response.status, text).toBeGreaterThanOrEqual(400);
  expect(response.status, text).toBeLessThan(500);
  const faults = Object.values(JSON.parse(text)) as { code: number; message: string }[];
  expect(faults).toHaveLength(1);
  expect(faults[0]).toMatchObject({ code: response.status, message: expect.any(String) });
  expect(faults[0]?.message).not.toMatch(/\bat .*:\d+:\d+/);
}

/** Routes that read a JSON body; an image's bytes are whatever they are. */
const READERS = [...ROUTES, ...OPEN].filter(
  ([method, path]) => method === "POST" || method === "PATCH" || (method === "PUT" && path.startsWith("/compute")),
);

describe.each(READERS)("%s %s", (method, path) => {
  it.each(Object.entries(BODIES))("with %s", async (_, body) => {
    await expectFault(await edge.call(method, path, { body }));
  });
  it("with a content type that is not JSON", async () => {
    await expectFault(await edge.call(method, path, { body: "<a/>", headers: { "content-type": "text/xml" } }));
  });
});

it.each([...ROUTES, ...OPEN])("%s %s, asked with a method that it has not", async (_, path) => {
  const response = await edge.call("OPTIONS", path);
  expect(response.status).toBe(405);
  await expectFault(response);
});

it.each(ROUTES)("%s %s, without a token, or with a bad one", async (method, path) => {
  for (const token of [null, "nonsense", `${"a".repeat(20)}.${"b".repeat(20)}.c`]) {
    const response = await edge.call(method, path, { token, ...(method === "GET" ? {} : { body: "{}" }) });
    expect(response.status).toBe(401);
    await expectFault(response);
  }
});

it.each([
  "/compute/v2.1/servers/%ff",
  "/compute/v2.1/servers/%2e%2e",
  "/compute/v2.1/servers/a/b/c/d",
  "/compute/v2.1/servers?limit=99999999999999999999",
  `/compute/v2.1/servers?${"a=1&".repeat(500)}`,
  `/compute/v2.1/servers?name=${"(".repeat(200)}`,
  "/compute/v2.1/servers?limit=1&limit=2&limit=x",
  "//evil.example/%2e%2e",
  "/compute//v2.1",
  "/compute/v2.1/os-quota-sets/%ff",
  `/compute/v2.1/os-quota-class-sets/${"x".repeat(300)}`,
  `/compute/v2.1/os-quota-class-sets/${encodeURIComponent("\u0000")}`,
  `/compute/v2.1/os-quota-sets/${NOBODY}?user_id=${"x".repeat(300)}`,
  "/compute/v2.1/os-simple-tenant-usage?start=9999-99-99T99:99:99&detailed=x&limit=-1",
  `/compute/v2.1/limits?tenant_id=${"x".repeat(300)}`,
])("%s answers without a 500", async (path) => {
  const response = await edge.call("GET", path, { headers: {} });
  expect(response.status).toBeLessThan(500);
  expect(response.headers.get("location")).toBeNull();
});

it("a log-in that is wrong in any part reads the same", async () => {
  const attempt = async (user: object, scope: object) => {
    const identity = { methods: ["password"], password: { user: { domain: { id: "default" }, ...user } } };
    const response = await edge.call("POST", "/identity/v3/auth/tokens", {
      token: null,
      body: { auth: { identity, scope } },
    });
    return [response.status, await response.text()];
  };
  const project = { name: "demo", domain: { id: "default" } };
  const password = "a password for tests";
  const wrong = await Promise.all([
    attempt({ name: "admin", password: "wrong" }, { project }),
    attempt({ name: "nobody", password }, { project }),
    attempt({ name: "admin", password }, { project: { ...project, name: "nothing" } }),
    attempt({ name: "admin", password, domain: { id: "other" } }, { project }),
    attempt({ name: "admin", password }, { project: { ...project, domain: { name: "other" } } }),
  ]);
  expect(new Set(wrong.map(String)).size).toBe(1);
  expect(wrong[0]?.[0]).toBe(401);
  expect((await attempt({ name: "admin", password }, { project }))[0]).toBe(201);
});
