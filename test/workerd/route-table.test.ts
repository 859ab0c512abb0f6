import { env } from "cloudflare:test";
import { RegExpRouter } from "hono/router/reg-exp-router";
import { expect, it } from "vitest";
import { createApp } from "../../functions/api/app.ts";
import { projectIn, routedPath } from "../../functions/api/project-path.ts";
import { RouteTable } from "../../functions/api/route-table.ts";

it("finds a fixed path before one with parameters, and what is for all below in both", () => {
  const table = new RouteTable<string>();
  table.add("ALL", "/a/*", "every");
  table.add("GET", "/a/:id", "one");
  table.add("GET", "/a/detail", "all");
  table.add("ALL", "/a/detail", "not allowed");
  const found = (method: string, path: string) => table.match(method, path)[0].map(([handler]) => handler);
  expect(found("GET", "/a/detail")).toEqual(["every", "all", "not allowed"]);
  expect(found("PUT", "/a/detail")).toEqual(["every", "not allowed"]);
  expect(found("GET", "/a/1")).toEqual(["every", "one"]);
  expect(found("GET", "/b")).toEqual([]);
});

it("has every route of the app in a regular expression", () => {
  const fast = new RegExpRouter<unknown>();
  for (const { method, path, handler } of createApp().routes) {
    if (/[:*]/.test(path)) fast.add(method, path, handler);
  }
  expect(fast.match("GET", "/compute/v2.1/servers/1")[0]).not.toEqual([]);
});

it.each([
  ["/compute/v2.1/servers/", "/compute/v2.1/servers", undefined],
  ["/compute/v2.1/0a-1/servers", "/compute/v2.1/servers", "0a-1"],
  ["/compute/v2/0a/servers/1?x=/compute/v2/0b/", "/compute/v2/servers/1", "0a"],
  ["/compute/v2.1/0a", "/compute/v2.1/0a", undefined],
  ["/compute/v2.1/flavors/0a", "/compute/v2.1/flavors/0a", undefined],
  ["/identity/v2.1/0a/x", "/identity/v2.1/0a/x", undefined],
])("routes %s as %s", (path, routed, project) => {
  expect(routedPath(new Request(`http://edge${path}`))).toBe(routed);
  expect(projectIn(`http://edge${path}`)).toBe(project);
});

it("asks for a token wherever both forms of a URL lead", async () => {
  for (const path of ["/compute/v2.1/servers/detail", `/compute/v2.1/${"0".repeat(32)}/servers/detail`]) {
    expect((await createApp().request(path, {}, env)).status).toBe(401);
  }
});
