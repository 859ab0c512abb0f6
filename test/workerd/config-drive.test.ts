/** What a server is given for its guest: what the agent hears of it, where it is kept, and for how long. */
import { env, runInDurableObject } from "cloudflare:test";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { Given, Secrets } from "../../functions/conductor/given.ts";
import { type ServerRecord, WITH_CONFIG_DRIVE } from "../../functions/conductor/record.ts";
import { METHODS } from "../../functions/protocol/methods.ts";
import { ScriptedAgent, until } from "./scripted-agent.ts";
import { ADMIN, MEMBER, specOf } from "./specs.ts";

const GIVEN: Given = { user_data: btoa("user-data"), keypair: { name: "mine", type: "ssh", data: "ssh-ed25519 AAAA" } };
const SECRETS: Secrets = { admin_pass: "hush-hush", files: [{ path: "/etc/motd", contents: btoa("file") }] };

let agent: ScriptedAgent;
let project: string;
let count = 0;

beforeEach(async () => {
  project = `drive-p${count}`;
  agent = await new ScriptedAgent(`drive-h${count++}`).link();
});
afterEach(() => agent.unlink());

const actor = () => ({ ...ADMIN, project_id: project });
const server = (uuid: string) => env.SERVER.getByName(uuid);
const show = (uuid: string) => server(uuid).show(actor());

async function create(change: Parameters<typeof specOf>[0] = {}): Promise<string> {
  const spec = specOf({ project_id: project, requested_host: agent.host, config_drive: true, ...change });
  const reserved = await env.PROJECT.getByName(project).reserve([spec], 1);
  if (!reserved.ok) throw new Error("over quota");
  await server(spec.uuid).create(actor(), { ...spec, given: GIVEN, secrets: SECRETS }, reserved.value.until);
  return spec.uuid;
}

const settled = (uuid: string) =>
  until(async () => (await show(uuid))?.task_state === null && (await show(uuid)), "it was built or failed");

type Row = Record<string, SqlStorageValue>;
const rows =
  (sql: string) =>
  (_: unknown, { storage }: DurableObjectState) =>
    storage.sql.exec<Row>(sql).toArray();
const secretsOf = (uuid: string) => runInDurableObject(server(uuid), rows("SELECT * FROM secrets"));
const callsOf = () =>
  runInDurableObject(env.HOST.getByName(agent.host), rows("SELECT method, params, outcome FROM call"));
const spawns = () => agent.calls.filter(({ method }) => method === "spawn");

it("reaches the agent in spawn, and no longer is in the host's journal when that is settled", async () => {
  const { answer } = agent;
  agent.answer = () => null;
  const uuid = await create({ hostname: "web", launch_index: 3, metadata: { role: "web" } });
  const call = await until(() => spawns()[0], "spawn is called");
  expect(METHODS.spawn.params.parse(call.params).config_drive).toEqual({
    hostname: "web",
    launch_index: 3,
    reservation_id: "r-1",
    availability_zone: "nova",
    instance_type: "f",
    keys: [GIVEN.keypair],
    admin_pass: "hush-hush",
    files: SECRETS.files,
    user_data: GIVEN.user_data,
  });
  // What an agent that comes back must be told again is kept until then.
  expect(await callsOf()).toMatchObject([{ method: "spawn", params: expect.stringContaining("hush-hush") }]);
  expect(await secretsOf(uuid)).toHaveLength(1);

  agent.send({ t: "result", call: call.id, outcome: answer(call) ?? { ok: true, value: { power_state: 1 } } });
  await settled(uuid);
  expect(await callsOf()).toMatchObject([{ method: "spawn", params: "null", outcome: expect.any(String) }]);
});

it("forgets the password and the files when the build has ended, and keeps user data and key", async () => {
  const uuid = await create();
  expect(await settled(uuid)).toMatchObject({ vm_state: "active", config_drive: true });
  await until(async () => (await secretsOf(uuid)).length === 0, "the secrets are gone");
  expect(await runInDurableObject(server(uuid), rows("SELECT given FROM given"))).toEqual([
    { given: JSON.stringify(GIVEN) },
  ]);
  for (const { record } of [
    ...(await runInDurableObject(server(uuid), rows("SELECT record FROM instance"))),
    ...(await runInDurableObject(env.PROJECT.getByName(project), rows("SELECT record FROM server"))),
  ]) {
    for (const secret of ["hush-hush", btoa("file"), btoa("user-data"), "AAAA"]) expect(record).not.toContain(secret);
  }
  expect(await server(uuid).userData(actor())).toBe(btoa("user-data"));
  expect(await server(uuid).userData({ ...MEMBER, project_id: "another" })).toBeNull();
});

it("forgets them as well when the build fails", async () => {
  agent.answer = ({ method }) =>
    method === "spawn" ? { ok: false, error: { code: "BuildAbortException", message: "no" } } : { ok: true, value: {} };
  const uuid = await create();
  expect(await settled(uuid)).toMatchObject({ vm_state: "error" });
  await until(async () => (await secretsOf(uuid)).length === 0, "the secrets are gone");
  expect(await callsOf()).toEqual([]);
});

it("forgets everything when the server is deleted in the middle of its build", async () => {
  const { answer } = agent;
  agent.answer = (call) => (call.method === "spawn" ? null : answer(call));
  const uuid = await create();
  await until(() => spawns()[0], "spawn is called");
  expect((await server(uuid).remove(actor())).ok).toBe(true);
  expect(await secretsOf(uuid)).toEqual([]);
  await until(
    async () => (await runInDurableObject(server(uuid), rows("SELECT * FROM given"))).length === 0,
    "what was given is gone",
  );
  expect(await show(uuid)).toBeNull();
  expect(await callsOf()).toEqual([]);
});

it("reaches the agent in a rescue with the rescue's own password, and is forgotten after it", async () => {
  const uuid = await create();
  const { image } = (await settled(uuid)) as ServerRecord;
  const rescue = { ...image, id: crypto.randomUUID() };
  const secrets = { admin_pass: "rescue-me", files: [] };
  expect((await server(uuid).act(actor(), "rescue", { memo: { image: rescue }, secrets })).ok).toBe(true);
  expect(await settled(uuid)).toMatchObject({ vm_state: "rescued" });
  const call = agent.calls.find(({ method }) => method === "rescue");
  const params = METHODS.rescue.params.parse(call?.params);
  expect([params.image, params.spec?.image]).toEqual([rescue, image]);
  expect(params.spec?.config_drive).toMatchObject({
    hostname: "a",
    keys: [GIVEN.keypair],
    admin_pass: "rescue-me",
    files: [],
    user_data: GIVEN.user_data,
  });
  await until(async () => (await secretsOf(uuid)).length === 0, "the secrets are gone");
  expect(JSON.stringify(await callsOf())).not.toContain("rescue-me");
  expect(JSON.stringify(await runInDurableObject(server(uuid), rows("SELECT * FROM instance")))).not.toContain('me"');
});

it("asks for no drive where the server has none", async () => {
  const uuid = await create({ config_drive: false });
  await settled(uuid);
  expect(spawns()[0]?.params).toMatchObject({ config_drive: null });
});

it("gives records of before their fields, and changes no others", async () => {
  const uuid = await create({ access_ip_v4: "192.0.2.1" });
  const before = await settled(uuid);
  await until(async () => (await secretsOf(uuid)).length === 0, "the saga has ended");
  const [older, same] = await runInDurableObject(server(uuid), (_, { storage: { sql } }) => {
    const one = (expression: string) =>
      JSON.parse(sql.exec<{ r: string }>(`SELECT ${expression} AS r FROM (SELECT record FROM instance)`).one().r);
    sql.exec("UPDATE instance SET record = json_remove(record, '$.access_ip_v4', '$.config_drive')");
    const older = one(WITH_CONFIG_DRIVE);
    sql.exec("UPDATE instance SET record = ?", JSON.stringify(before));
    return [older, one(WITH_CONFIG_DRIVE)];
  });
  expect(older).toMatchObject({ access_ip_v4: "", config_drive: false, fault: null, terminated_at: null });
  expect(same).toEqual(before);
});
