/** No input is a 500: every operation of the compute API, with every way to be wrong, made of the rows that the API is made of. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { CallOptions } from "../../edge.ts";
import { MAX_MINOR } from "./api.ts";
import { COMPUTE, filled, forms, minorsOf, minorsWithout, REGISTERED, ROWS, type Row } from "./rows.ts";
import { doubtful, example, forbidden, type Placed, unknownFields } from "./values.ts";
import { type Step, walk } from "./walk.ts";
import { NOBODY, startWorld, type World } from "./world.ts";

const V = "/compute/v2.1";

/** Operations that need no body though they change something: the path says all. */
const WITHOUT_BODY = ["PUT /servers/:id/tags/:tag"];

/** Answers that have no one key. */
const WITHOUT_KEY = [
  "GET /flavors/:id/os-extra_specs/:key",
  "GET /servers/:id/ips/:label",
  "GET /servers/:id/diagnostics",
  "GET /servers/:id/topology",
];

/** What is whose: others are told that it is not there, or not for them. */
const OWNED: Record<string, number> = {
  servers: 404,
  "os-volumes_boot": 404,
  "os-server-groups": 404,
  "os-keypairs": 404,
  "os-quota-sets": 403,
  "os-simple-tenant-usage": 403,
};
/** Of these everyone may know, or they are refused before the server is looked for. */
const OPEN: Record<string, number> = {
  "GET /os-quota-sets/:id/defaults": 200,
  "os-getRDPConsole of /servers/:id/action": 400,
};
/** Paths whose names need not exist. */
const FREE = ["PUT /os-quota-class-sets/:id", "GET /os-quota-class-sets/:id", "DELETE /os-quota-sets/:id"];

/** What is there answers otherwise than its row says: nothing is under way, or old microversions tell less. */
const NOTHING: Record<string, number[]> = {
  "GET /os-console-auth-tokens/:token": [200, 400],
  // A fake host's guests have no network.
  "GET /servers/:id/ips/:label": [404],
  "GET /servers/:id/migrations/:migration": [404],
  "GET /os-services/:id/drain": [404],
};
/** Where the path says what must stand in the body. */
const BODIES: Record<string, object> = {
  "PUT /servers/:id/metadata/:key": { meta: { k: "v" } },
  "PUT /images/:id/metadata/:key": { meta: { k: "v" } },
};

const RANKS = ["none", "reader", "member", "manager", "admin"] as const;

let world: World;
beforeAll(async () => {
  world = await startWorld();
}, 120_000);
afterAll(() => world?.edge.close());

const removed = (row: Row) => row.status === 410;
/** Rows of microversions that are still to come are asked for when those are there. */
const present = ROWS.filter((row) => minorsOf(row).length > 0);
const served = present.filter((row) => !removed(row));
const one = (row: Row) => minorsOf(row).at(-1) ?? MAX_MINOR;
/** Of the form that ids have there, and of nothing. */
const unknown = (row: Row) =>
  `${V}${filled(row.path, (collection) => (collection === "os-aggregates" ? "999999" : NOBODY))}`;
const known = (row: Row, minor = one(row)) => {
  const value = (collection: string, name: string) => {
    const id = world.ids[`${collection}:${name}`] ?? world.ids[collection];
    if (id === undefined) throw new Error(`world.ts has nothing for what stands after ${collection} in a path`);
    return typeof id === "string" ? id : String(minor < 53 ? id.number : id.uuid);
  };
  return `${V}${filled(row.path, value)}`;
};
/** A good body, if the row takes one. */
const good = (row: Row, minor = one(row)): Pick<CallOptions, "body"> => {
  const form = forms({ ...row }, "body").findLast((form) => form.minor <= minor);
  return form === undefined ? {} : { body: BODIES[row.name] ?? example(form.json) };
};

const stepsOf =
  (row: Row) =>
  (what: string, options: CallOptions, status?: Step["status"], path = unknown(row)): Step => {
    const asked = { what, method: row.method, path, options: { minor: one(row), ...options } };
    return status === undefined ? asked : { ...asked, status };
  };

describe("the tables", () => {
  it("have a row for each route of the compute API, and each row has a route", () => {
    const routes = REGISTERED.filter(({ path }) => COMPUTE.test(path));
    const rows = new Set(ROWS.map(({ method, path }) => `${method} ${path}`));
    const registered = new Set(routes.map(({ method, path }) => `${method} ${path.replace(COMPUTE, "")}`));
    expect([...registered].filter((route) => !rows.has(route))).toEqual([]);
    expect([...rows].filter((row) => !registered.has(row))).toEqual([]);
  });

  it("have a schema for each body", () => {
    const changing = served.filter(({ method }) => ["POST", "PUT", "PATCH"].includes(method));
    const bare = changing.filter(({ body }) => body === undefined).map(({ name }) => name);
    expect(bare).toEqual(WITHOUT_BODY);
  });

  it("have the key of each answer", () => {
    const asked = served.filter(({ method, status }) => method === "GET" && status === 200);
    expect(asked.filter(({ answers }) => answers === undefined).map(({ name }) => name)).toEqual(WITHOUT_KEY);
  });

  it.each(served.filter(({ body }) => body))("say of $name's body what it refuses", (row) => {
    for (const { schema, json } of forms(row, "body")) {
      expect(schema.safeParse(example(json)).error?.issues ?? []).toEqual([]);
      for (const { path, value, body } of forbidden(json))
        expect(schema.safeParse(body).success, `${path.join(".")}: ${JSON.stringify(value)}`).toBe(false);
    }
  });
});

describe.each(present)("$name", (row) => {
  const step = stepsOf(row);

  it("is for nobody without a good token", async () => {
    const tokens = [null, "nonsense", `${"a".repeat(20)}.${"b".repeat(20)}.c`];
    await walk(
      world.edge,
      tokens.map((token) => step(`as ${token}`, { token, ...good(row) }, 401)),
    );
  });

  it("is for the role of its row", async () => {
    const { tokens, edge } = world;
    const below = row.role === "service" ? RANKS.slice(0, -1) : RANKS.slice(0, RANKS.indexOf(row.role));
    const refused = row.role === "service" ? below : [...below, "service" as const];
    await walk(
      edge,
      refused.map((role) => step(`as ${role}`, { token: tokens[role], ...good(row) }, 403)),
    );
  });

  it.skipIf(removed(row))("is there at its microversions only, and only at ones that exist", async () => {
    const version = (value: string) => ({ headers: { "openstack-api-version": `compute ${value}` } });
    await walk(world.edge, [
      ...minorsWithout(row).map((minor) => step(`at 2.${minor}`, { minor, ...good(row) }, 404)),
      step("at 2.9999", version("2.9999"), 406),
      step("at 3.0", version("3.0"), 406),
      step("at 2.x", version("2.x"), 400),
      step("at nothing", version(""), [400, 401, 403, 404, 405, 410, 200, 202, 204]),
    ]);
  });
});

describe.each(served)("$name", (row) => {
  const step = stepsOf(row);

  it.runIf(row.body)("takes a body of JSON only, and not too much of it", async () => {
    const deep = (depth: number) => `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`;
    await walk(world.edge, [
      step("with another content type", { body: "<a/>", headers: { "content-type": "text/xml" } }, 415),
      ...["", "{", "7", "null", "[]", '"text"', "\u0000", '{"a":1}x'].map((body) =>
        step(`with ${body}`, { body }, 400),
      ),
      step("with deep JSON", { body: deep(10_000) }, 400),
      step("with JSON that is a little too deep", { body: deep(40) }, 400),
      step("with 2 MiB", { body: JSON.stringify({ a: "x".repeat(2 * 1024 * 1024) }) }, 413),
    ]);
  });

  it.runIf(row.body)("takes no wrong value anywhere, and falls over none", async () => {
    const steps: Step[] = [];
    const walked = new Set<string>();
    for (const { minor, schema, json } of forms(row, "body")) {
      const told = ({ path, value }: Placed) => `${path.join(".")} ${(JSON.stringify(value) ?? "").slice(0, 40)}`;
      const isNew = (one: Placed) => walked.size < walked.add(told(one)).size;
      const at = `at 2.${minor} with`;
      for (const one of forbidden(json).filter(isNew))
        steps.push(step(`${at} ${told(one)}`, { body: one.body, minor }, 400));
      for (const one of doubtful(json).filter(isNew)) {
        const bad = !schema.safeParse(JSON.parse(JSON.stringify(one.body))).success;
        steps.push(step(`${at} ${told(one)}`, { body: one.body, minor }, bad ? 400 : undefined));
      }
      for (const { path, body } of unknownFields(json)) {
        // Of two actions in one body neither is meant.
        const says = row.path.endsWith("/action") && path.length === 1 ? {} : { says: "nonsense" };
        steps.push({ ...step(`${at} ${path.join(".")}`, { body, minor }, 400), ...says });
      }
    }
    await walk(world.edge, steps);
  });

  it.runIf(row.query)("takes no wrong query, and falls over none", async () => {
    const steps: Step[] = [];
    const walked = new Set<string>();
    for (const { minor, schema, json } of forms(row, "query")) {
      const names = Object.keys(json.properties ?? {}).filter((name) => walked.size < walked.add(name).size);
      for (const name of [...names, "nonsense"])
        for (const value of [
          "",
          "x",
          "-1",
          "9".repeat(30),
          "\u0000",
          "(".repeat(200),
          "x".repeat(5000),
          "2026-99-99",
        ]) {
          const bad = !schema.safeParse({ [name]: [value] }).success;
          const path = `${unknown(row)}?${new URLSearchParams({ [name]: value })}`;
          steps.push(step(`at 2.${minor}`, { minor, ...good(row) }, bad ? 400 : undefined, path));
        }
      steps.push(step("repeated", { minor, ...good(row) }, undefined, `${unknown(row)}?${"limit=1&".repeat(500)}`));
    }
    await walk(world.edge, steps);
  });

  it.runIf(row.path.includes(":"))("is of things that exist", async () => {
    const nowhere = FREE.includes(row.name) ? undefined : [400, 404, 410];
    const strange = ["x", "%00", "%2e%2e", "%ff", "a".repeat(1000), "'; DROP", "__proto__", "-1", "9".repeat(30)];
    const path = (id: string) => `${V}${filled(row.path, () => "~").replaceAll("~", id)}`;
    await walk(world.edge, [
      step("of nobody's", good(row), nowhere),
      ...strange.map((id) => step("of a strange name", good(row), undefined, path(id))),
    ]);
  });

  const collection = row.path.split("/")[1] ?? "";
  const { role } = row;
  it.runIf(row.path.includes(":") && OWNED[collection] && role !== "admin" && role !== "service")(
    "is for those alone whose the thing is",
    async () => {
      const token = world.strangers[role as "reader"];
      await walk(world.edge, [
        step("by a stranger", { token, ...good(row) }, OPEN[row.name] ?? OWNED[collection], known(row)),
      ]);
    },
  );

  it.runIf(row.method === "GET")("answers a good question as its row says", async () => {
    await walk(
      world.edge,
      minorsOf(row).map((minor) => ({
        ...step(`at 2.${minor}`, { minor }, NOTHING[row.name] ?? row.status, known(row, minor)),
        ...(row.answers === undefined ? {} : { answers: row.answers }),
      })),
    );
  });
});

describe("each path", () => {
  const paths = [...new Set(ROWS.map(({ path }) => path))];
  it.each(paths)("%s says which methods it has", async (path) => {
    const has = ROWS.filter((row) => row.path === path).map(({ method }) => method);
    const others = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].filter((method) => !has.includes(method));
    await walk(
      world.edge,
      others.map((method) => ({ what: "", method, path: `${V}${filled(path, () => NOBODY)}`, status: 405 })),
    );
  });
});

it("leaves the server as it was", async () => {
  const response = await world.edge.call("GET", `${V}/servers/${world.ids.servers}`);
  expect((await response.json()).server).toMatchObject({ name: "walked", status: "ACTIVE", tags: ["t"] });
});
