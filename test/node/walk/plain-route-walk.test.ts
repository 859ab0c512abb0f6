/** No input is a 500, of identity, images and agents either: every route with every way to be wrong. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CallOptions, demoImage, startTestEdge, type TestEdge } from "../../edge.ts";
import { tokenOf } from "../../tokens.ts";
import { PLAIN_ROUTES } from "./plain-routes.ts";
import { COMPUTE, filled, REGISTERED } from "./rows.ts";
import { retyped } from "./values.ts";
import { type Step, walk } from "./walk.ts";
import { NOBODY } from "./world.ts";

let edge: TestEdge;
let image: string;
beforeAll(async () => {
  edge = await startTestEdge();
  image = await demoImage(edge.cloud);
});
afterAll(() => edge?.close());

const ROUTES = Object.entries(PLAIN_ROUTES).map(([name, route]) => {
  const [method = "", path = ""] = name.split(" ");
  return { name, method, path, ...route };
});
const FAULT = Array.from({ length: 100 }, (_, i) => 400 + i);

it("the table has each route that is not the compute API's, and no other", () => {
  const registered = REGISTERED.filter(({ path }) => !COMPUTE.test(path)).map(
    ({ method, path }) => `${method} ${path}`,
  );
  expect([...new Set(registered)].sort()).toEqual(Object.keys(PLAIN_ROUTES).sort());
});

describe.each(ROUTES)("$name", ({ method, path, who, body, type = "application/json" }) => {
  const here = filled(path, () => NOBODY);
  // A patch is read when its image is known.
  const patched = () => filled(path, (collection) => (collection === "images" ? image : NOBODY));
  const step = (what: string, options: CallOptions, status?: Step["status"], at = body ? patched() : here): Step => {
    const headers = { "content-type": type, ...options.headers };
    const asked = { what, method, path: at, options: { ...options, headers } };
    return status === undefined ? asked : { ...asked, status };
  };
  const good = body ? { body } : {};

  it.runIf(who === "user" || who === "admin")("is for nobody without a good token", async () => {
    const tokens = [null, "nonsense", `${"a".repeat(20)}.${"b".repeat(20)}.c`];
    await walk(
      edge,
      tokens.map((token) => step(`as ${token}`, { token, ...good }, 401)),
    );
  });

  it.runIf(who === "admin")("is not for others", async () => {
    const roles = ["auditor", "service", "reader", "member", "manager"];
    const steps = roles.map(async (role) =>
      step(`as ${role}`, { token: await tokenOf({ roles: [role] }), ...good }, 403),
    );
    await walk(edge, await Promise.all(steps));
  });

  it.runIf(who === "agent")("is for no one but agents", async () => {
    const bearers = ["", "x", "x".repeat(5000), await tokenOf({ roles: ["admin"] })];
    const status = /\/(link|console\/:console|moves\/:migration\/:stream)$/.test(path) ? 426 : 401;
    await walk(
      edge,
      bearers.map((bearer) => step("", { headers: { authorization: `Bearer ${bearer}` } }, status)),
    );
  });

  it.runIf(body)("takes a body of its kind only, and not too much of it", async () => {
    const deep = (depth: number) => `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`;
    const list = Array.isArray(body) ? "{}" : "[]";
    await walk(edge, [
      step("of another type", { body: "<a/>", headers: { "content-type": "text/xml" } }, 415),
      ...["", "{", "7", "null", list, '"text"', "\u0000", '{"a":1}x'].map((text) => step(text, { body: text }, 400)),
      step("deep", { body: deep(10_000) }, 400),
      step("a little too deep", { body: deep(40) }, 400),
      step("2 MiB", { body: JSON.stringify({ a: "x".repeat(2 * 1024 * 1024) }) }, 413),
    ]);
  });

  it.runIf(body)("takes no wrong type in any field, and falls over nothing", async () => {
    const wrong = retyped(body).map(({ path, value, body }) => {
      return step(`${path.join(".")} as ${JSON.stringify(value)}`, { body }, FAULT);
    });
    await walk(edge, [
      ...wrong,
      step("with a prototype", { body: '{"__proto__":{"user":{}},"user":{"__proto__":[]}}' }),
    ]);
  });

  it("falls over no query", async () => {
    const queries = [
      "limit=-1",
      "limit=x",
      "marker=%00",
      `name=${"(".repeat(200)}`,
      "a=1&".repeat(500),
      "sort=:::",
      "%ff",
    ];
    await walk(
      edge,
      queries.map((text) => step(text, good, undefined, `${here}?${text}`)),
    );
  });

  it.runIf(path.includes(":"))("is of things that exist", async () => {
    const strange = ["x", "%00", "%2e%2e", "%ff", "a".repeat(1000), "__proto__", "-1"];
    await walk(
      edge,
      strange.map((id) => step(id, good, undefined, filled(path, () => "~").replaceAll("~", id))),
    );
  });

  it("says which methods it has", async () => {
    const has = ROUTES.filter((route) => route.path === path).map((route) => route.method);
    const others = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].filter((one) => !has.includes(one));
    // The documents of versions stand where any other path is a choice of versions, or nothing.
    const status = ["/", "/compute", "/identity", "/image"].some((root) => path === root || path.match(/\/v[\d.]+$/))
      ? [300, 404, 405]
      : 405;
    await walk(
      edge,
      others.map((other) => ({ ...step(other, {}, status), method: other })),
    );
  });
});

it.each([
  "/compute/v2.1/servers/a/b/c/d",
  "/compute/v2.1/servers/%ff",
  "//evil.example/%2e%2e",
  "/compute//v2.1",
  "/%00",
  "/compute/v3/servers",
])("%s answers without a 500", async (path) => {
  const response = await edge.call("GET", path);
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
