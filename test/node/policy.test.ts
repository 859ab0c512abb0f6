/** Who gets through at all: each role against operations of each role (nova/policies). */
import { afterAll, beforeAll, expect, it } from "vitest";
import { ask, startTestEdge, type TestEdge } from "../edge.ts";
import { tokenOf } from "../tokens.ts";

const V = "/compute/v2.1";

let edge: TestEdge;

beforeAll(async () => {
  edge = await startTestEdge();
});
afterAll(() => edge?.close());

it.each([
  [["reader"], "GET", `${V}/flavors`, 200],
  [["reader"], "POST", `${V}/os-server-groups`, 403],
  [["member"], "POST", `${V}/os-server-groups`, 400],
  [["member"], "GET", `${V}/os-services`, 403],
  [["manager"], "GET", `${V}/os-services`, 403],
  [["admin"], "GET", `${V}/os-services`, 200],
  [["auditor"], "GET", `${V}/flavors`, 403],
  [["service"], "GET", `${V}/flavors`, 403],
  [["service"], "GET", `${V}/os-keypairs`, 403],
  [["service"], "GET", `${V}/os-services`, 403],
  [["service"], "GET", "/image/v2/images", 403],
  [["service", "reader"], "GET", `${V}/flavors`, 200],
])("%j %s %s is %i", async (roles, method, path, status) => {
  const token = await tokenOf({ roles });
  const answer = await ask(edge, method, path, { token, ...(method === "POST" ? { body: {} } : {}) });
  expect(answer.status).toBe(status);
  if (status === 403) expect(answer.body.forbidden.message).toMatch(/^Policy doesn't allow .+ to be performed\.$/);
});
