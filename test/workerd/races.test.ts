/** Many at once: groups' policies hold, and claims are what the servers that live have, whatever comes between. */
import { env, evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import type { CreateSpec } from "../../functions/conductor/record.ts";
import type { Policy } from "../../functions/project/groups.ts";
import { INVENTORY, ScriptedAgent, until } from "./scripted-agent.ts";
import { ADMIN, specOf } from "./specs.ts";

const UNLIMITED = { instances: -1, cores: -1, ram: -1, server_group_members: -1 };
const agents: ScriptedAgent[] = [];
afterEach(() => {
  for (const agent of agents.splice(0)) agent.unlink();
});

async function link(names: string[], inventory = INVENTORY): Promise<void> {
  for (const name of names) agents.push(await new ScriptedAgent(name).link(inventory));
}
const actorOf = (project: string) => ({ ...ADMIN, project_id: project, request_id: `req-${crypto.randomUUID()}` });

async function create(project: string, specs: CreateSpec[]): Promise<string[]> {
  const reserved = await env.PROJECT.getByName(project).reserve(specs, specs.length);
  if (!reserved.ok) throw new Error(reserved.error.kind);
  const { until } = reserved.value;
  await Promise.all(specs.map((spec) => env.SERVER.getByName(spec.uuid).create(actorOf(project), spec, until)));
  return specs.map(({ uuid }) => uuid);
}

const show = (project: string, uuid: string) => env.SERVER.getByName(uuid).show(actorOf(project));

/** Waits until nothing is at work on the server; its alarm, which is for later, rings now. */
async function rest(project: string, uuid: string) {
  await until(
    async () => {
      const record = await show(project, uuid);
      if (record === null || record.task_state === null) return true;
      await runDurableObjectAlarm(env.SERVER.getByName(uuid));
      return false;
    },
    `${uuid} rests`,
    60_000,
  );
  return show(project, uuid);
}

async function unlimited(project: string): Promise<void> {
  await env.PROJECT.getByName(project).setQuota(null, UNLIMITED, true);
}

/** What a host has claims for, as its rows say. */
const claimsOf = (host: string) =>
  runInDurableObject(env.HOST.getByName(host), (_, state) =>
    state.storage.sql
      .exec<{ server: string; vcpus: number; memory_mb: number; disk_gb: number }>(
        "SELECT server, vcpus, memory_mb, disk_gb FROM allocation ORDER BY server",
      )
      .toArray(),
  );

/** An object that does not run at the moment needs no crash. */
async function crash(evicted: Promise<void>): Promise<void> {
  await evicted.catch((error: Error) => expect(error.message).toContain("not currently running"));
}

describe("a hundred servers of one group at once", () => {
  const HOSTS = Array.from({ length: 100 }, (_, at) => `race-${at}`);
  async function boot(project: string, policy: Policy) {
    await unlimited(project);
    const id = crypto.randomUUID();
    const group = { id, name: "g", policy, max_server_per_host: null, user_id: "u" };
    await env.PROJECT.getByName(project).createGroup(group);
    const specs = Array.from({ length: 100 }, () => specOf({ project_id: project, server_group: id }));
    const uuids = await create(project, specs);
    const records = await Promise.all(uuids.map((uuid) => rest(project, uuid)));
    return records.map((record) => record?.host ?? null);
  }

  it("apart: each has a host of its own", { timeout: 120_000 }, async () => {
    await link(HOSTS);
    const hosts = await boot("apart", "anti-affinity");
    expect(hosts.filter((host) => host === null)).toEqual([]);
    expect(new Set(hosts).size).toBe(100);
    for (const host of HOSTS) expect(await claimsOf(host)).toHaveLength(1);
  });

  it("apart, where there are fewer hosts: none has two, and the others fail", { timeout: 120_000 }, async () => {
    await link(HOSTS.slice(0, 30));
    const hosts = await boot("fewer", "anti-affinity");
    const placed = hosts.filter((host) => host !== null);
    expect(new Set(placed).size).toBe(placed.length);
    expect(placed).toHaveLength(30);
  });

  it("together: all have the same", { timeout: 120_000 }, async () => {
    await link(HOSTS.slice(0, 10), { ...INVENTORY, vcpus: 400, memory_mb: 400_000, local_gb: 10_000 });
    const hosts = await boot("together", "affinity");
    expect(hosts[0]).not.toBeNull();
    expect(new Set(hosts).size).toBe(1);
    const [host = ""] = hosts.filter((one) => one !== null);
    expect((await claimsOf(host)).length).toBeGreaterThanOrEqual(100);
  });
});

describe("claims are what the servers that live have", () => {
  const SMALL = { ...INVENTORY, vcpus: 2, memory_mb: 512 + 4096, local_gb: 40 };
  const index = fc.nat({ max: 2 });
  const act = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({ do: fc.constant("create"), vcpus: fc.integer({ min: 1, max: 4 }), at: index }),
    },
    { weight: 3, arbitrary: fc.record({ do: fc.constant("delete"), vcpus: fc.nat({ max: 20 }), at: index }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("crash host", "cut off"), vcpus: fc.nat(), at: index }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("crash server"), vcpus: fc.nat(), at: index }) },
  );
  let run = 0;

  it("whatever interleaves: creates, deletes, crashes, lost links", { timeout: 240_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(act, { minLength: 8, maxLength: 30 }), { minLength: 1, maxLength: 3 }),
        async (bursts) => {
          const project = `property-${run++}`;
          const hosts = [0, 1, 2].map((at) => `${project}-${at}`);
          await unlimited(project);
          await link(hosts, SMALL);
          const scripted = hosts.map((name) => agents.find(({ host }) => host === name)!);
          const made: string[] = [];
          const sizes = new Map<string, number>();
          const links = new Map<number, Promise<void>>();
          const doing = {
            async create(vcpus: number) {
              const spec = specOf({ project_id: project });
              const flavor = { ...spec.flavor, vcpus, ram: vcpus * 512, disk: vcpus };
              sizes.set(spec.uuid, vcpus);
              made.push(...(await create(project, [{ ...spec, flavor }])));
            },
            async delete(n: number) {
              const uuid = made[n % Math.max(1, made.length)];
              if (uuid !== undefined) await env.SERVER.getByName(uuid).remove(actorOf(project));
            },
            "crash host": (_: number, at: number) =>
              crash(evictDurableObject(env.HOST.getByName(hosts[at]!), { webSockets: "hibernate" })),
            async "crash server"(n: number) {
              const uuid = made[n % Math.max(1, made.length)];
              if (uuid !== undefined) await crash(evictDurableObject(env.SERVER.getByName(uuid)));
            },
            // One after the other: an agent that dials twice at once would wait for the welcome of a socket it left.
            "cut off"(_: number, at: number) {
              const relinked = (links.get(at) ?? Promise.resolve()).then(async () => {
                scripted[at]!.unlink();
                await scripted[at]!.link(SMALL);
              });
              links.set(at, relinked);
              return relinked;
            },
          } as const;
          // At any moment: what is claimed fits, and each claim is one server's, of that server's size, which is there or
          // on its way; and no server that runs is without its own.
          const checkClaims = async () => {
            for (const host of hosts) {
              const before = await Promise.all(made.map((uuid) => show(project, uuid)));
              const claims = await claimsOf(host);
              expect(claims.reduce((all, one) => all + one.vcpus, 0)).toBeLessThanOrEqual(8);
              expect(claims.reduce((all, one) => all + one.memory_mb, 0)).toBeLessThanOrEqual(4096);
              for (const { server, vcpus, memory_mb, disk_gb } of claims) {
                const size = sizes.get(server);
                expect({ vcpus, memory_mb, disk_gb }).toEqual({
                  vcpus: size,
                  memory_mb: (size ?? 0) * 512,
                  disk_gb: size,
                });
              }
              const claimed = new Set(claims.map(({ server }) => server));
              const runs = (record: Awaited<ReturnType<typeof show>> | undefined) =>
                record?.host === host && record.vm_state === "active" && record.task_state === null;
              for (const [at, uuid] of made.slice(0, before.length).entries()) {
                // It ran before and runs after, so it ran all the time.
                if (runs(before[at]) && runs(await show(project, uuid))) expect([...claimed]).toContain(uuid);
              }
            }
          };
          for (const burst of bursts) {
            let isOver = false;
            const watching = (async () => {
              while (!isOver) await checkClaims();
            })();
            await Promise.all(burst.map((one) => doing[one.do as keyof typeof doing](one.vcpus, one.at))).finally(
              () => {
                isOver = true;
              },
            );
            await watching;
            await checkClaims();
          }
          const records = await Promise.all(made.map((uuid) => rest(project, uuid)));
          const live = records.filter((record) => record?.host != null).map((record) => record!);
          for (const host of hosts) {
            const owed = live
              .filter((record) => record.host === host)
              .map(({ uuid, flavor }) => ({
                server: uuid,
                vcpus: flavor.vcpus,
                memory_mb: flavor.ram,
                disk_gb: flavor.disk,
              }))
              .sort((a, b) => (a.server < b.server ? -1 : 1));
            // A claim that an undo gives back may still be on its way.
            await until(
              async () => (await claimsOf(host)).length === owed.length,
              `${host} has the claims of its servers`,
            );
            expect(await claimsOf(host)).toEqual(owed);
          }
          for (const agent of scripted) agent.unlink();
        },
      ),
      { numRuns: 10, endOnFailure: true },
    );
  });
});
