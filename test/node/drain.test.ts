/** Draining a host by the API and by the command, and fencing, as operators meet them. */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ask as askEdge, type CallOptions, demoImage, startTestEdge, type TestEdge, until } from "../edge.ts";
import { TEST_SECRETS } from "../secrets.ts";
import { tokenOf } from "../tokens.ts";

const V = "/compute/v2.1";
const MAIN = join(import.meta.dirname, "../../agent/cli/main.ts");

let edge: TestEdge;
let service: string;
let server: string;
let home: string;
beforeAll(async () => {
  edge = await startTestEdge({ FENCING_LEASE: "3600", REPORT_INTERVAL: "0.2", SERVICE_DOWN_TIME: "1" });
  home = mkdtempSync(join(tmpdir(), "edgenova-drain-"));
  await edge.agent("one");
  service = (await ask("GET", `${V}/os-services`)).body.services[0].id;
  server = await edge.cloud.createServer("s", await demoImage(edge.cloud), "1");
  await edge.cloud.built(server, 20_000);
});
afterAll(async () => {
  await edge?.close();
  rmSync(home, { recursive: true, force: true });
});

const ask = (method: string, path: string, options: CallOptions = {}) =>
  askEdge(edge, method, path, { minor: 60, ...options });
const put = (body: object, options: CallOptions = {}) =>
  ask("PUT", `${V}/os-services/${service}`, { body, ...options });
const drain = (options: CallOptions = {}) => ask("GET", `${V}/os-services/${service}/drain`, options);

function edgenova(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const env = {
    PATH: process.env.PATH ?? "",
    HOME: home,
    OS_AUTH_URL: `${edge.url}/identity/v3`,
    OS_USERNAME: "admin",
    OS_PASSWORD: TEST_SECRETS.ADMIN_PASSWORD,
    OS_PROJECT_NAME: "demo",
  };
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...args], { cwd: home, env }, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err });
    });
  });
}

describe("a drain", () => {
  it("is of a service that is disabled, and for admins", async () => {
    expect((await drain()).status).toBe(404);
    expect((await put({ drain: true })).status).toBe(400);
    expect((await put({ status: "enabled", drain: true })).status).toBe(400);
    expect((await put({ status: "disabled", drain: "maybe" })).status).toBe(400);
    const token = await tokenOf({ roles: ["manager"] });
    expect((await put({ status: "disabled", drain: true }, { token })).status).toBe(403);
    expect((await drain({ token })).status).toBe(403);
    expect((await drain({ minor: 52 })).status).toBe(404);
    expect((await drain()).status).toBe(404);
  });

  it("that finds nowhere to go says of each server why it stays; enabling the service ends it", async () => {
    const put1 = await put({ status: "disabled", drain: true });
    expect([put1.status, put1.body.service.status]).toEqual([200, "disabled"]);
    const ended = await until(async () => {
      const { body } = await drain();
      return body.drain.state === "done" && body.drain;
    }, "it has ended");
    expect(ended).toEqual({
      host: "one",
      state: "done",
      started_at: expect.any(String),
      ended_at: expect.any(String),
      servers: [{ id: server, state: "failed", how: "live_migrate", reason: expect.any(String) }],
    });
    expect((await put({ status: "enabled" })).status).toBe(200);
  });

  it("is begun, followed and stopped by a command", async () => {
    const { code, out, err } = await edgenova("drain", "one");
    expect(code, err).toBe(1);
    expect(out).toMatch(new RegExp(`${server} +failed +live_migrate +\\S`));
    expect(out).toContain("one: 0 of 1 moved, 0 moving, 1 failed; it is done");
    const stopped = await edgenova("drain", "one", "--stop", "--json");
    expect(stopped.code, stopped.err).toBe(0);
    expect(JSON.parse(stopped.out)).toMatchObject({ host: "one", state: "done", servers: [{ id: server }] });
    const none = await edgenova("drain", "two");
    expect([none.code, none.err]).toEqual([1, expect.stringContaining('there is no host "two"')]);
    expect((await put({ status: "enabled" })).status).toBe(200);
  });
});

it("a host with a lease is evacuated only once that is over, and its agent is told of it", async () => {
  const one = await edge.agent("leased");
  expect(one.logs.map(({ event }) => event)).not.toContain("lease.over");
  const body = { name: "s", imageRef: await demoImage(edge.cloud, "again"), flavorRef: "1", networks: "none" };
  const asked = { server: { ...body, availability_zone: "nova:leased" } };
  const { id } = (await ask("POST", `${V}/servers`, { body: asked })).body.server;
  await edge.cloud.built(id, 20_000);
  await one.agent.stop();
  const services = async () => (await ask("GET", `${V}/os-services?host=leased`)).body.services[0];
  await until(async () => (await services()).state === "down", "the host is down");
  const { status, body: told } = await ask("POST", `${V}/servers/${id}/action`, { body: { evacuate: {} } });
  expect(status).toBe(409);
  expect(told.conflictingRequest.message).toMatch(/^Guests of leased may still run: its lease is over at 20\d\d-/);
  expect((await ask("GET", `${V}/servers/${id}`)).body.server["OS-EXT-STS:task_state"]).toBeNull();
});
