/** Whose guests' folders are on storage that hosts share, wherever what changes it is cut off. */
import type * as FileSystem from "node:fs/promises";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { putAside } from "../../agent/drivers/aside.ts";
import { Instances } from "../../agent/drivers/libvirt/instances.ts";

/** Changes that the disk still takes: with the next the agent is killed. */
const left = vi.hoisted(() => ({ changes: Number.POSITIVE_INFINITY }));
class Killed extends Error {}

vi.mock("node:fs/promises", async (load) => {
  const real = await load<typeof FileSystem>();
  const killable =
    <A extends unknown[], R>(change: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      left.changes -= 1;
      if (left.changes < 0) throw new Killed();
      return change(...args);
    };
  const { chmod, mkdir, rename, rm, rmdir, writeFile } = real;
  return {
    ...real,
    chmod: killable(chmod),
    mkdir: killable(mkdir as (path: string) => Promise<unknown>),
    rename: killable(rename),
    rm: killable(rm),
    rmdir: killable(rmdir),
    writeFile: killable(writeFile as (path: string, text: string) => Promise<void>),
  };
});

const UUID = "3f2b8c1e-9d47-4a65-b0e2-7c51d8f9a0b1";
const HOSTS = ["a", "b", "c"] as const;
type Name = (typeof HOSTS)[number];
const MODE = 0o700;

let path: string;
let hosts: Record<Name, Instances>;
const at = (file: string) => join(path, UUID, file);
const disk = () => readFile(at("disk"), "utf8").catch(() => null);

beforeEach(async () => {
  path = await mkdtemp("/tmp/en-instances-");
  const instances = (host: Name) => new Instances({ path, host, shared: true });
  hosts = { a: instances("a"), b: instances("b"), c: instances("c") };
});
afterEach(async () => {
  left.changes = Number.POSITIVE_INFINITY;
  await rm(path, { recursive: true });
});

/** The agent is killed at the change of that number; whether it was. */
async function cutOff(changes: number, work: () => Promise<unknown>): Promise<boolean> {
  left.changes = changes;
  try {
    await work();
    return false;
  } catch (error) {
    if (error instanceof Killed) return true;
    throw error;
  } finally {
    left.changes = Number.POSITIVE_INFINITY;
  }
}

async function guestOf(host: Name): Promise<void> {
  await hosts[host].renew(UUID, MODE);
  await writeFile(at("disk"), "precious");
}
const ownerIs = async () => {
  const owning = await Promise.all(HOSTS.map((host) => hosts[host].isLeftBy(UUID, host)));
  return HOSTS.filter((_, i) => owning[i]);
};
/** As the driver ends a guest that it has no domain of. */
async function destroyed(host: Instances): Promise<void> {
  await host.settle(UUID);
  await host.removeAside(UUID);
  await host.remove(UUID);
}

/** Runs the test with an agent that is killed at the first change, at the second, … until it is through. */
async function wherever(work: (cut: number) => Promise<boolean>): Promise<void> {
  let cut = 0;
  while (await work(cut)) cut += 1;
  expect(cut).toBeGreaterThan(1);
}

describe("wherever it is cut off,", () => {
  it("a guest that is made belongs to nobody or its host, and is made by it again", () =>
    wherever(async (cut) => {
      const was = await cutOff(cut, () => hosts.a.renew(UUID, MODE));
      await destroyed(hosts.b);
      expect(["a", undefined]).toContain((await ownerIs())[0]);
      await hosts.a.renew(UUID, MODE);
      expect(await ownerIs()).toEqual(["a"]);
      await destroyed(hosts.a);
      expect(await readdir(path)).toEqual([]);
      return was;
    }));

  it("a guest that has gone has its files, though its source is told to end it", () =>
    wherever(async (cut) => {
      await guestOf("a");
      await writeFile(at("leaving"), "b");
      const was = await cutOff(cut, () => hosts.a.settle(UUID));
      await destroyed(hosts.a);
      expect([await ownerIs(), await disk()]).toEqual([["b"], "precious"]);
      await hosts.b.own(UUID);
      expect(await hosts.b.leavesFor(UUID)).toBeNull();
      await destroyed(hosts.b);
      expect(await readdir(path)).toEqual([]);
      return was;
    }));

  it("a guest that is taken has its files, and is taken again", () =>
    wherever(async (cut) => {
      await guestOf("a");
      await writeFile(at("unrescue.xml"), "");
      const was = await cutOff(cut, () => hosts.b.take(UUID, "a"));
      await hosts.b.take(UUID, "a");
      await destroyed(hosts.a);
      await hosts.a.give(UUID, "c");
      expect([await ownerIs(), await disk()]).toEqual([["b"], "precious"]);
      expect(await readdir(join(path, UUID))).not.toContain("unrescue.xml");
      await destroyed(hosts.b);
      return was;
    }));

  it("a guest whose files are aside is taken with them, though half of another is in their place", () =>
    wherever(async (cut) => {
      await guestOf("a");
      await putAside(join(path, UUID), { migration: UUID, description: "" });
      await hosts.b.make(UUID, MODE);
      await writeFile(at("disk"), "half");
      const was = await cutOff(cut, () => hosts.c.take(UUID, "a"));
      await hosts.c.take(UUID, "a");
      for (const host of [hosts.a, hosts.b]) await destroyed(host);
      expect([await ownerIs(), await disk()]).toEqual([["c"], "precious"]);
      await destroyed(hosts.c);
      expect(await readdir(path)).toEqual([]);
      return was;
    }));

  it("a guest that is removed is its host's until it is gone", () =>
    wherever(async (cut) => {
      await guestOf("a");
      const was = await cutOff(cut, () => destroyed(hosts.a));
      await destroyed(hosts.b);
      await destroyed(hosts.a);
      expect(await readdir(path)).toEqual([]);
      return was;
    }));
});

it("a folder has the owner that it was given, made for or taken by, and none touches another's", async () => {
  const name = fc.constantFrom(...HOSTS);
  const act = fc.record({ act: fc.constantFrom("renew", "give", "take", "destroy"), by: name, other: name });
  await fc.assert(
    fc.asyncProperty(fc.array(act, { maxLength: 12 }), async (acts) => {
      let owner: Name | null = null;
      for (const { act, by, other } of acts) {
        const mine: boolean = owner === null || owner === by;
        const host = hosts[by];
        if (act === "renew") {
          const made = host.renew(UUID, MODE);
          if (mine) owner = await made.then(() => by);
          else await expect(made).rejects.toMatchObject({ code: "InstanceInvalidState" });
          if (mine) await writeFile(at("disk"), by);
        } else if (act === "give") {
          await host.give(UUID, other);
          if (owner === by) owner = other;
        } else if (act === "take") {
          const taken = host.take(UUID, other);
          if (owner === other) owner = await taken.then(() => by);
          else if (mine) await taken;
          else await expect(taken).rejects.toMatchObject({ code: "InstanceInvalidState" });
        } else {
          await destroyed(host);
          if (owner === by) owner = null;
        }
        expect(await ownerIs()).toEqual(owner === null ? [] : [owner]);
        expect((await disk()) === null).toBe(owner === null);
        for (const one of HOSTS) expect(await hosts[one].list()).toEqual(one === owner ? [UUID] : []);
      }
      await rm(join(path, UUID), { recursive: true, force: true });
    }),
    { numRuns: 100 },
  );
});
