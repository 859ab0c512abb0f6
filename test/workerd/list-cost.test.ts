/** A long list costs one call and its rows. */
import {
  createExecutionContext,
  env,
  listDurableObjectIds,
  runInDurableObject,
  waitOnExecutionContext,
} from "cloudflare:test";
import { expect, it } from "vitest";
import { newRecord } from "../../functions/conductor/record.ts";
import { issueToken } from "../../functions/identity/token.ts";
import worker from "../../functions/index.ts";
import { difference } from "../bench/counts.ts";
import { countNamespaces, counts } from "./counting.ts";
import { specOf } from "./specs.ts";

const SERVERS = 1000;
const project = { id: "6d0f4ac1b2f94d0f9d5c3c1a7e5b2a11", name: "big" };

async function list(token: string): Promise<{ servers: { id: string }[] }> {
  const headers = { "x-auth-token": token, "openstack-api-version": "compute 2.96" };
  const ctx = createExecutionContext();
  const answer = await worker.fetch(new Request("http://edge/compute/v2.1/servers/detail", { headers }), env, ctx);
  await waitOnExecutionContext(ctx);
  expect(answer.status).toBe(200);
  return answer.json();
}

it(`of ${SERVERS} servers in full is one call to the project, and wakes no server`, async () => {
  await runInDurableObject(env.PROJECT.getByName(project.id), (object) => {
    for (let i = 0; i < SERVERS; i++) {
      const spec = specOf({ project_id: project.id, created_at: new Date(i).toISOString() });
      object.index({ ...newRecord(spec), version: 2, vm_state: "active", task_state: null, host: "h" });
    }
  });
  const roles = ["member", "reader"].map((name) => ({ id: name, name }));
  const grant = { user: { id: "u", name: "u" }, project, roles, at: Date.now() };
  const { token } = await issueToken(env, grant, { methods: ["password"] });
  // The first request of an isolate asks for the revoked tokens.
  await list(token);
  countNamespaces(env);
  const before = structuredClone(counts());
  const { servers } = await list(token);
  expect(servers).toHaveLength(SERVERS);
  const { "IDENTITY.revocations": _, ...calls } = difference(before, counts()).calls;
  expect(calls).toEqual({ "PROJECT.list": 1 });
  expect(await listDurableObjectIds(env.SERVER)).toEqual([]);
});
