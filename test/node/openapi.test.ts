/** The OpenAPI document and its page, as the edge serves them. */
import { Validator } from "@seriousme/openapi-schema-validator";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestEdge, type TestEdge } from "../edge.ts";

type Json = { [key: string]: Json } & Json[] & string;

let edge: TestEdge;
let served: Response;
let document: Json;

beforeAll(async () => {
  edge = await startTestEdge();
  served = await edge.call("GET", "/compute/openapi.json", { token: null });
  document = await served.json();
});
afterAll(() => edge?.close());

const operation = (path: string, method: string) => document.paths?.[path]?.[method] as Json;
const bodyOf = (path: string, method: string) =>
  operation(path, method).requestBody?.content?.["application/json"]?.schema as Json;

describe("the document", () => {
  it("is served to anyone, and again only when it has changed", async () => {
    expect(served.status).toBe(200);
    expect(served.headers.get("content-type")).toContain("application/json");
    const again = await edge.call("GET", "/compute/openapi.json", {
      token: null,
      headers: { "if-none-match": served.headers.get("etag") ?? "none" },
    });
    expect(again.status).toBe(304);
  });

  it("is of the version that the edge serves", async () => {
    const versions = await (await edge.call("GET", "/compute/v2.1")).json();
    expect(document).toMatchObject({ openapi: "3.1.1", info: { version: versions.version.version } });
    expect(document.servers).toEqual([{ url: "/compute/v2.1" }]);
  });

  it("is OpenAPI 3.1, and each schema in it JSON Schema", async () => {
    expect(await new Validator().validate(structuredClone(document))).toEqual({ valid: true });
  });

  it("has every reference that it uses", () => {
    const used = [...JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)].map(([, path = ""]) => path);
    const missing = used.filter(
      (path) => path.split("/").reduce<Json | undefined>((at, key) => at?.[key], document) === undefined,
    );
    expect(used.length).toBeGreaterThan(0);
    expect(missing).toEqual([]);
  });

  it("names each operation once, and declares each parameter of its path", () => {
    const all = Object.entries(document.paths ?? {}).flatMap(([path, item]) =>
      Object.values(item as Json).map((one) => ({ path, ...(one as object) }) as unknown as Json),
    );
    const ids = all.map((one) => one.operationId);
    expect(new Set(ids).size).toBe(ids.length);
    for (const one of all) {
      const inPath = [...String(one.path).matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      const declared = [...(one.parameters ?? [])]
        .filter((parameter) => parameter.in === "path")
        .map(({ name }) => name);
      expect(declared, String(one.path)).toEqual(inPath);
    }
  });

  it("keeps what the schemas ask for: lengths, patterns, choices, what is required", () => {
    const server = bodyOf("/servers", "post").properties?.server;
    expect(server).toMatchObject({ additionalProperties: false, required: ["name", "flavorRef", "networks"] });
    expect(server?.properties).toMatchObject({
      name: { type: "string", minLength: 1, maxLength: 255, pattern: expect.any(String) },
      "OS-DCF:diskConfig": { enum: ["AUTO", "MANUAL"] },
      min_count: { anyOf: [{ type: "integer", minimum: 1 }, { type: "string" }] },
      user_data: { anyOf: [{ contentEncoding: "base64" }, { type: "null" }] },
      tags: { type: "array", maxItems: 50 },
    });
  });

  it("tells since when a property is there, is required or changed, and what there was before", () => {
    const server = bodyOf("/servers", "post").properties?.server;
    expect(server?.properties).toMatchObject({
      description: { "x-microversions": { since: "2.19" } },
      networks: { "x-microversions": { required: "2.37" } },
      hostname: { "x-microversions": { since: "2.90", changed: ["2.94"] } },
    });
    expect(server?.properties?.name).not.toHaveProperty("x-microversions");
    expect(server?.["x-removed"]).toEqual({ personality: { until: "2.56" } });
  });

  it("tells since when an operation is there, until when it was, and who may", () => {
    expect(operation("/servers/{id}/tags", "get")["x-microversions"]).toEqual({ since: "2.26" });
    expect(operation("/os-hypervisors/{pattern}/search", "get")["x-microversions"]).toEqual({ until: "2.52" });
    expect(operation("/servers/{id}", "delete")["x-policy"]).toEqual({
      rule: "os_compute_api:servers:delete",
      role: "member",
    });
  });

  it("has each action by its key, with its own rules", () => {
    const forms = [...(bodyOf("/servers/{id}/action", "post").oneOf as Json)];
    expect(forms.find(({ title }) => title === "os-start")).toMatchObject({ required: ["os-start"] });
    expect(forms.find(({ title }) => title === "os-resetState")).toMatchObject({
      properties: { "os-resetState": { properties: { state: { enum: ["active", "error"] } } } },
      "x-policy": { role: "admin" },
    });
    expect(forms.find(({ title }) => title === "os-getVNCConsole")).toMatchObject({
      "x-microversions": { until: "2.5" },
    });
    const sharing = [...(bodyOf("/flavors/{id}/action", "post").oneOf as Json)];
    expect(sharing.map(({ title }) => title)).toEqual(["addTenantAccess", "removeTenantAccess"]);
  });

  it("has of a query what one value of it may be", () => {
    const query = [...(operation("/flavors", "get").parameters as Json)].filter(
      (parameter) => parameter.in === "query",
    );
    expect(query.find(({ name }) => name === "limit")?.schema).toMatchObject({
      type: "string",
      pattern: "^[0-9]{1,10}$",
    });
    expect(query.find(({ name }) => name === "sort_dir")?.schema).toMatchObject({ enum: ["asc", "desc"] });
    const many = [...(operation("/servers", "get").parameters as Json)].find(({ name }) => name === "status");
    expect(many?.schema).toMatchObject({ type: "array", items: { type: "string" } });
  });

  it("has faults in their envelope", () => {
    expect(operation("/servers/{id}", "get").responses).toMatchObject({
      200: { content: { "application/json": { schema: { required: ["server"] } } } },
      404: { $ref: "#/components/responses/fault404" },
    });
    const schema = document.components?.responses?.fault404?.content?.["application/json"]?.schema;
    expect(schema).toMatchObject({ required: ["itemNotFound"] });
  });
});

describe("the page", () => {
  it("is a page of its own origin, which no other may frame", async () => {
    const page = await edge.call("GET", "/docs", { token: null });
    expect(page.status).toBe(200);
    expect(page.headers.get("content-security-policy")).toMatch(/^default-src 'none'.*frame-ancestors 'none'$/);
    expect(page.headers.get("content-security-policy")).not.toContain("unsafe");
    const html = await page.text();
    expect(html).not.toMatch(/<script(?![^>]*\ssrc=)|<style|\s(?:style|on[a-z]+)=/);
    const named = [...html.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map(([, path = ""]) => path);
    expect(named).toHaveLength(2);
    for (const path of named) {
      const asset = await edge.call("GET", path, { token: null });
      expect(asset.status).toBe(200);
      expect(asset.headers.get("cache-control")).toContain("immutable");
      expect(await asset.text()).not.toContain("sourceMappingURL=");
    }
  });
});
